"""Reading a range: COPY in ctid order inside a savepoint, cut into batches, ended early when it is larger than planned.

No lock outlives a range, so production DDL waits for one range at most. A rewrite of the table (VACUUM FULL, TRUNCATE, CLUSTER)
would make the old snapshot see nothing, silently: the table's file is compared with the planned one under the lock, before and
after. A rename would make a planned name another column: PostgreSQL reads the rows of the snapshot by the names of now, so the
names are compared as well.
TID range scans need PostgreSQL 14: https://www.postgresql.org/docs/current/sql-explain.html has the node's name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import asyncpg

from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.layout import Layout
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError
from tailrace_shared.messages import Bound
from tailrace_shared.plan.model import Leaf, PlannedTable, TableFilter
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

CHUNK_BYTES = 2 << 20
"""Text parsed at a time: below 1 MB the parser's fixed costs show, above 4 MB its buffers leave the cache."""

LOOKING_UP = (
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; "
    "SET LOCAL enable_bitmapscan = on; SET LOCAL work_mem = '64MB'"
)
"""A table is read in the order of its heap, whatever that costs; looking up what its rows refer to needs indexes, or a hash."""
_KEPT_NAME = """attnum > 0 AND NOT attisdropped AND attname =
    (pg_catalog.pg_identify_object_as_address('pg_catalog.pg_class'::regclass, attrelid, attnum)).object_names[3]"""
_UNDEFINED_TABLE = "42P01"


class SourceChanged(TerminalError):
    """What would be read is not what was planned: the attempt ends, and the run plans anew."""


class TableRewritten(SourceChanged):
    """The table's file is not the one that was planned: this snapshot would read nothing of it."""

    def __init__(self, table: str) -> None:
        super().__init__(
            "reader.table-rewritten",
            f"{table} was rewritten, truncated or dropped in the source while it was read",
            "Leave VACUUM FULL, CLUSTER and TRUNCATE until the run has read the table; the run starts another attempt.",
        )


class ColumnsChanged(SourceChanged):
    """A planned name is not the planned column any more: another one would go out under its rule, perhaps unmasked."""

    def __init__(self, table: str) -> None:
        super().__init__(
            "reader.columns-changed",
            f"columns of {table} were renamed or dropped in the source after the run was planned",
            "Leave the source's columns until the run has read the table; the run starts another attempt and plans anew.",
        )


@dataclass(frozen=True)
class RangeQuery:
    """What a range selects."""

    leaf: Leaf
    columns: tuple[str, ...]
    low: Bound
    high: Bound | None
    names_objects: bool = False
    """Read under an empty search path, so that names of objects come out in full."""
    casts: Mapping[str, str] = field(default_factory=dict)
    """Of a materialised view: SQL of the columns that are read as another type."""
    filter: TableFilter | None = None
    """Which rows are read, and which of their references; None: all."""
    chance: str = ""
    """TABLESAMPLE clause; empty: all rows."""
    limit: int = 0
    """Of rows; 0: none."""

    @staticmethod
    def of(
        table: PlannedTable, leaf: int, low: Bound, high: Bound | None, told: TableFilter | None = None
    ) -> RangeQuery:
        """The query for a range of a planned table, under its filter."""
        layout = Layout.of(table)
        casts = {c.name: c.expression for c in table.columns if c.cast}
        return RangeQuery(table.leaves[leaf], layout.names, low, high, layout.names_objects, casts, told)

    @property
    def relation(self) -> str:
        """The heap's quoted name."""
        return qualified(self.leaf.name.schema_name, self.leaf.name.name)

    @property
    def rows(self) -> str:
        """The query whose rows are copied."""
        most = f" LIMIT {int(self.limit)}" if self.limit else ""
        return f"SELECT {', '.join(map(self._value, self.columns))} {self._places}{self._order}{most}"

    def place_after(self, rows: int) -> str:
        """The query for the place of the first row that is left after ``rows`` rows."""
        return f"SELECT t.ctid {self._places}{self._order} OFFSET {int(rows)} LIMIT 1"

    @property
    def heaps(self) -> tuple[Leaf, ...]:
        """Every heap that the query looks into: none of them may be rewritten."""
        others = self.filter.reads if self.filter else ()
        return (self.leaf, *(heap for heap in others if heap.oid != self.leaf.oid))

    @property
    def looks_up(self) -> bool:
        """PostgreSQL may join, and then rows come in ctid order only where that is asked for."""
        return self.filter is not None and self.filter.looks_up

    def _value(self, column: str) -> str:
        value = self.casts.get(column) or f"t.{quote_ident(column)}"
        kept = self.filter.kept.get(column) if self.filter else None
        return f"CASE WHEN {kept} THEN {value} END" if kept else value

    @property
    def _places(self) -> str:
        high = f" AND t.ctid < {_place(self.high)}" if self.high else ""
        chosen = f" AND ({self.filter.condition})" if self.filter and self.filter.condition else ""
        return f"FROM ONLY {self.relation} AS t{self.chance} WHERE t.ctid >= {_place(self.low)}{high}{chosen}"

    @property
    def _order(self) -> str:
        return " ORDER BY t.ctid" if self.looks_up else ""


class _Full(Exception):
    """The range has its bytes: stop the COPY."""


async def read_range(
    connection: asyncpg.Connection,
    query: RangeQuery,
    assembler: RangeAssembler,
    publish: Callable[[Cut], Awaitable[None]],
) -> Bound | None:
    """Read the range through ``assembler``, hand every batch to ``publish``; where the rest begins, if the range ended early.

    ``publish`` is awaited inside the stream: while it waits, the server waits. ``connection`` is inside the attempt's snapshot
    and holds no lock when this returns; after any error the caller closes it. Raises TableRewritten, the errors of
    ``assembler`` and ``publish``, and PostgreSQL's as ``tailrace_shared.postgres`` maps them.
    """
    with translated():
        await connection.execute("SAVEPOINT range")
        if query.names_objects:  # gone with the savepoint
            await connection.execute("SET LOCAL search_path = pg_catalog")
        if query.looks_up:
            await connection.execute(LOOKING_UP)
        await _lock(connection, query)
        await _same_files(connection, query)
        await _same_columns(connection, query)
        await copy_rows(connection, query.rows, assembler, publish)
        rest = None
        if assembler.ended:
            await connection.execute(
                "ROLLBACK TO SAVEPOINT range"
            )  # a COPY that was cut short has failed the savepoint
            rest = await _rest(connection, query, assembler)
        await _same_files(connection, query)
        await connection.execute("ROLLBACK TO SAVEPOINT range; RELEASE SAVEPOINT range")
    if (last := assembler.finish()) is not None:
        await publish(last)
    return rest


async def copy_rows(
    connection: asyncpg.Connection,
    rows: str,
    assembler: RangeAssembler,
    publish: Callable[[Cut], Awaitable[None]],
) -> None:
    """The query's rows through ``assembler`` until it has its bytes; a COPY that is cut short fails its savepoint."""
    held: list[bytes] = []
    size = 0

    async def parse() -> None:
        nonlocal size
        raw = b"".join(held)
        held.clear()
        size = 0
        for cut in assembler.feed(raw):
            await publish(cut)
            crash_point("reader.mid-range")

    async def take(data: bytes) -> None:
        nonlocal size
        held.append(data)
        size += len(data)
        if size >= CHUNK_BYTES:
            await parse()
            if assembler.ended:
                raise _Full

    try:
        await connection.copy_from_query(rows, output=take, format="csv")
    except _Full:
        return
    await parse()


async def _rest(connection: asyncpg.Connection, query: RangeQuery, assembler: RangeAssembler) -> Bound:
    if query.looks_up:
        await connection.execute(LOOKING_UP)
    await _lock(connection, query)
    place = await connection.fetchval(query.place_after(assembler.rows))
    if place is None:
        raise TableRewritten(str(query.leaf.name))
    return Bound(block=place[0], item=place[1])


async def _lock(connection: asyncpg.Connection, query: RangeQuery) -> None:
    """The lock that reading takes anyway, taken first, so that what is compared under it stays so.

    By reading nothing: LOCK TABLE takes no materialised view.
    """
    for heap in query.heaps:
        try:
            await connection.execute(f"SELECT FROM ONLY {qualified(heap.name.schema_name, heap.name.name)} LIMIT 0")
        except asyncpg.PostgresError as error:
            if error.sqlstate == _UNDEFINED_TABLE:
                raise TableRewritten(str(heap.name)) from None
            raise


async def _same_files(connection: asyncpg.Connection, query: RangeQuery) -> None:
    """``pg_relation_filenode`` looks at the catalogue of now; a query of pg_class would look through the old snapshot."""
    heaps = query.heaps
    found = await connection.fetch(
        "SELECT r::oid AS oid, pg_catalog.pg_relation_filenode(r) AS filenode "
        "FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place), LATERAL pg_catalog.to_regclass(n.name) AS r ORDER BY place",
        [qualified(heap.name.schema_name, heap.name.name) for heap in heaps],
    )
    for heap, now in zip(heaps, found, strict=True):
        if now["oid"] != heap.oid or now["filenode"] != heap.filenode:
            raise TableRewritten(str(heap.name))


async def _same_columns(connection: asyncpg.Connection, query: RangeQuery) -> None:
    """``pg_attribute`` shows the columns as the snapshot has them, which is as they were planned; the function their names of now.

    Called under the lock, which keeps the names: renaming waits for it. Names have to agree with column numbers. A condition may
    be over any column of any heap that it looks into.
    """
    same = await connection.fetchval(
        f"SELECT count(*) FROM pg_catalog.pg_attribute AS a WHERE attrelid = $1 AND attname = ANY($2::text[]) AND {_KEPT_NAME}",
        query.leaf.oid,
        list(query.columns),
    )
    if same != len(query.columns):
        raise ColumnsChanged(str(query.leaf.name))
    if query.filter:
        changed = await connection.fetchval(
            "SELECT attrelid::bigint FROM pg_catalog.pg_attribute AS a WHERE attrelid = ANY($1::oid[]) AND attnum > 0 "
            f"AND NOT attisdropped AND ({_KEPT_NAME}) IS NOT TRUE LIMIT 1",
            [heap.oid for heap in query.heaps],
        )
        if changed is not None:
            raise ColumnsChanged(next(str(heap.name) for heap in query.heaps if heap.oid == changed))


def _place(bound: Bound) -> str:
    return f"'({bound.block},{bound.item})'::tid"
