"""Reading a view: one stream ordered in SQL, cut like a table's, ended early when it is large; the rest is a range by position.

A view has no heap: what has to stay the same is its shape (``catalogue.views``): definitions, columns, the files below. Reading a
view under an old snapshot runs its definition of now, so the shape is asked for by a session that sees now, while a lock keeps
it. A view's rows under one snapshot are one sequence, so a position in it means the same to every reader.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.layout import Layout
from tailrace_reader.ranges import SourceChanged, copy_rows
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.views import MOVING, SHAPE
from tailrace_shared.messages import Bound
from tailrace_shared.plan.model import Leaf, PlannedTable, TableFilter
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

PLANNER = (
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; "
    "SET LOCAL enable_bitmapscan = on"
)
"""A table is read in the order of its heap, whatever that costs; a view's order is asked for, and its joins need their indexes."""
_UNDEFINED_TABLE = "42P01"


class ViewChanged(SourceChanged):
    """What is under the view's name is not what was planned."""

    def __init__(self, view: str) -> None:
        super().__init__(
            "reader.view-changed",
            f"view {view} was replaced in the source after the run was planned, or a table below it rewritten or truncated",
            "Leave the view and its tables until the run has read it; the run starts another attempt and plans anew.",
        )


@dataclass(frozen=True)
class ViewQuery:
    """Rows [low, high) of a view, by their position in its order."""

    leaf: Leaf
    shape: str
    columns: tuple[str, ...]
    """SQL per column, over the alias ``t``'s own names."""
    order_by: tuple[str, ...]
    """SQL per column of the declared key; none: the whole row's text."""
    low: int
    high: int | None
    condition: str = ""
    names_objects: bool = False
    """As ``RangeQuery.names_objects``."""

    @staticmethod
    def of(table: PlannedTable, low: Bound, high: Bound | None, told: TableFilter | None = None) -> ViewQuery:
        """The query for a range of a planned view, under its filter."""
        expressions = {c.name: c.expression for c in table.columns}
        kept = told.kept if told else {}
        return ViewQuery(
            table.leaves[0],
            table.shape,
            tuple(f"CASE WHEN {kept[c]} THEN {e} END" if c in kept else e for c, e in expressions.items()),
            tuple(expressions.get(name, quote_ident(name)) for name in table.order_by),
            low.block,
            None if high is None else high.block,
            told.condition if told else "",
            Layout.of(table).names_objects,
        )

    @property
    def relation(self) -> str:
        """The view's quoted name."""
        return qualified(self.leaf.name.schema_name, self.leaf.name.name)

    @property
    def rows(self) -> str:
        """The query whose rows are copied."""
        order = ", ".join(f"({column})" for column in self.order_by) or '(t.*)::text COLLATE pg_catalog."C"'
        where = f" WHERE ({self.condition})" if self.condition else ""
        limit = "" if self.high is None else f" LIMIT {max(0, self.high - self.low)}"
        places = f" OFFSET {self.low}" if self.low else ""
        return f"SELECT {', '.join(self.columns)} FROM {self.relation} AS t{where} ORDER BY {order}{limit}{places}"


async def read_view(
    connection: asyncpg.Connection,
    source: SourceServer,
    query: ViewQuery,
    assembler: RangeAssembler,
    publish: Callable[[Cut], Awaitable[None]],
) -> Bound | None:
    """As ``ranges.read_range``; raises ViewChanged where the view's shape is another than planned."""
    async with _now(source) as now:
        with translated():
            path = "; SET LOCAL search_path = pg_catalog" if query.names_objects else ""
            await connection.execute(f"SAVEPOINT range; {PLANNER}{path}")
            await _lock(connection, query)
            await _same_shape(now, query)
            await copy_rows(connection, query.rows, assembler, publish)
            if assembler.ended:  # the COPY that was cut short has failed the savepoint, and given the locks up
                await connection.execute("ROLLBACK TO SAVEPOINT range")
            await _same_shape(now, query)
            await connection.execute("ROLLBACK TO SAVEPOINT range; RELEASE SAVEPOINT range")
    if (last := assembler.finish()) is not None:
        await publish(last)
    return Bound(block=query.low + assembler.rows) if assembler.ended else None


@asynccontextmanager
async def _now(source: SourceServer) -> AsyncIterator[asyncpg.Connection]:
    """A session that sees the catalogue as it is now."""
    connection = await source.connect()
    try:
        with translated():
            await connection.execute("SET search_path = pg_catalog; SET default_transaction_read_only = on")
        yield connection
    finally:
        connection.terminate()


async def _lock(connection: asyncpg.Connection, query: ViewQuery) -> None:
    """The view and, by PostgreSQL's own rule, all that it reads: so that what is compared stays so."""
    try:
        await connection.execute(f"LOCK TABLE {query.relation} IN ACCESS SHARE MODE")
    except asyncpg.PostgresError as error:
        if error.sqlstate == _UNDEFINED_TABLE:
            raise ViewChanged(str(query.leaf.name)) from None
        raise


async def _same_shape(now: asyncpg.Connection, query: ViewQuery) -> None:
    oid = await now.fetchval("SELECT pg_catalog.to_regclass($1)::oid", query.relation)
    found = None if oid != query.leaf.oid else await now.fetchrow(SHAPE, oid, MOVING)
    if found is None or found["shape"] != query.shape:
        raise ViewChanged(str(query.leaf.name))
