"""What comes back with a rebuilt index besides its definition."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace_shared.catalogue.columns import Row
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.types import qualified, quote_ident


def index_extras(row: Row, table: TableName) -> Iterable[str]:
    """What CREATE INDEX does not say."""
    index = qualified(table.schema_name, row["name"])
    if row["tablespace"]:
        yield f"ALTER INDEX {index} SET TABLESPACE {quote_ident(row['tablespace'])}"
    for statistic in row["statistics"]:
        number, target = statistic.split()
        yield f"ALTER INDEX {index} ALTER COLUMN {number} SET STATISTICS {target}"
    if row["clustered"]:
        yield f"ALTER TABLE {qualified(table.schema_name, table.name)} CLUSTER ON {quote_ident(row['name'])}"
    for extension in row["extensions"]:
        yield f"ALTER INDEX {index} DEPENDS ON EXTENSION {quote_ident(extension)}"
    if row["comment"]:
        yield f"COMMENT ON INDEX {index} IS {row['comment']}"
