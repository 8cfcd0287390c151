"""How much a table holds, to do what is cheap for many of them in one transaction and what is not on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import asyncpg

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.types import qualified

GROUP_BYTES = 16 << 20
"""What tables that are treated together hold in sum: it is done in a second, and so long their locks are held."""
GROUP_COUNT = 40

_SIZES = """
SELECT coalesce(pg_catalog.pg_relation_size(r.rel), 0)
       + (SELECT coalesce(sum(pg_catalog.pg_relation_size(p.relid)), 0) FROM pg_catalog.pg_partition_tree(r.rel) p)::bigint
FROM (SELECT pg_catalog.to_regclass(t.name) AS rel, place FROM unnest($1::text[]) WITH ORDINALITY AS t(name, place)) r
ORDER BY r.place
"""

T = TypeVar("T")


async def table_bytes(connection: asyncpg.Connection, tables: Sequence[TableName]) -> list[int]:
    """Bytes of each table with its partitions; 0 where there is none. Raises asyncpg's errors."""
    names = [qualified(table.schema_name, table.name) for table in tables]
    return [row[0] for row in await connection.fetch(_SIZES, names)]


def grouped(items: Sequence[T], weigh: Callable[[T], int]) -> list[list[T]]:
    """The items in their order, in groups that stay below both bounds; what is beyond one alone is a group of its own."""
    groups: list[list[T]] = []
    weight = 0
    for item in items:
        own = weigh(item)
        if not groups or len(groups[-1]) >= GROUP_COUNT or weight + own > GROUP_BYTES:
            groups.append([])
            weight = 0
        groups[-1].append(item)
        weight += own
    return groups
