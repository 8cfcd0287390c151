"""The determinism digest: what a load has made of the carried columns, as one number per table, whatever the order of the rows.

Every row's carried columns, in the order of their names, become one text in the session's fixed formats; its SHA-256 gives two
64-bit lanes, and the lanes are summed over all rows. The sums, the row count and the names are hashed again. Two runs of the same
job with the same secret over the same source agree; another secret gives another digest. It is made of what is in the
destination, where masked columns hold no original value; with a report key it is keyed as well, and then says nothing to whoever
does not hold the key, not even about a table whose whole content can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.model import Plan
from tailrace_shared.types import qualified, quote_ident

FORMAT: Final = "tailrace-digest-1"
_LANE: Final = 1 << 64


def digest_query(table: TableName, columns: Sequence[str], *, only: bool = False) -> str:
    """Rows, and the sums of both lanes as text (a numeric may have hundreds of digits)."""
    row = ", ".join(f"t.{quote_ident(column)}" for column in sorted(columns))
    lanes = ", ".join(
        f"COALESCE(sum(('x' || substr(h, {first}, 16))::bit(64)::bigint), 0)::text AS lane{number}"
        for number, first in enumerate((1, 17))
    )
    return (
        f"SELECT count(*) AS rows, {lanes} FROM (SELECT encode(sha256(convert_to(ROW({row})::text, 'UTF8')), 'hex') AS h "
        f"FROM {'ONLY ' if only else ''}{qualified(table.schema_name, table.name)} t) d"
    )


def table_digest(table: TableName, columns: Sequence[str], rows: int, lanes: Sequence[int]) -> str:
    """SHA-256, hexadecimal, of a table's name, columns, row count and lane sums."""
    content = [FORMAT, str(table), sorted(columns), rows, [lane % _LANE for lane in lanes]]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def overall_digest(tables: Mapping[str, str]) -> str:
    """SHA-256, hexadecimal, of all tables' digests by name."""
    content = [FORMAT, sorted(tables.items())]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def keyed(digest: str, key: bytes) -> str:
    """HMAC-SHA-256 of a digest; the prefix keeps it apart from a report's signature under the same key."""
    return hmac.new(key, f"{FORMAT} {digest}".encode(), hashlib.sha256).hexdigest()


async def table_digests(
    connection: asyncpg.Connection, plan: Plan, rows_of: Mapping[TableName, TableName] | None = None
) -> dict[str, str]:
    """Digest per loaded table, unkeyed. Scans every one of them. Raises asyncpg's errors.

    ``rows_of`` names the relation that holds a table's rows, where that is not the table itself.
    """
    found: dict[str, str] = {}
    async with connection.transaction(readonly=True):
        # Names of tables and types that are values (regclass) come out alike everywhere.
        await connection.execute("SET LOCAL search_path = pg_catalog")
        for table in plan.tables:
            if table.mode != "truncate" and table.columns:
                columns = [column.name for column in table.columns]
                rows = (rows_of or {}).get(table.name, table.name)
                (row,) = await connection.fetch(digest_query(rows, columns, only=table.only))
                lanes = (int(row["lane0"]), int(row["lane1"]))
                found[str(table.name)] = table_digest(table.name, columns, row["rows"], lanes)
    return found
