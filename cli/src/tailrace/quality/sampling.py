"""Samples of a job's tables from both databases: bounded, seeded, through sessions that cannot write. They stay in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import numpy as np
import pyarrow as pa

from tailrace.planning import Databases
from tailrace.quality import queries
from tailrace.quality.columns import Column, Kind, Rows, size_of, some
from tailrace.quality.judge import Subject, halves
from tailrace.quality.treatment import Treatment
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.detect import detect
from tailrace_shared.plan.model import Learning, Plan, PlannedColumn, PlannedTable, TableFilter
from tailrace_shared.plan.sampled import sampled_by
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

CELLS_MAX: Final = 6_000_000
"""Of one query's answer: about half a gigabyte while it is read."""
HEADROOM: Final = 1.2
"""A random sample of a share has a few rows more or less; what is too much is dropped at random."""
LIMIT_FACTOR: Final = 4
"""Where the estimate of a table's rows is that wrong, the sample is its first rows."""
LEARNED: Final = "ai"


@dataclass(frozen=True)
class Wanted:
    """What is asked for on the command line."""

    rows: int
    seed: int
    held_out: Mapping[str, str]
    """Per table a condition: rows of the source that nothing was learned from."""
    targets: Mapping[str, str]
    orders: Mapping[str, str]
    """Per table the column that orders the rows of a parent."""


@dataclass(frozen=True)
class _Side:
    """One database and how it is asked for a table's rows."""

    connection: asyncpg.Connection

    async def count(self, query: str) -> float:
        """Rows of a query, counted."""
        return float(await self.connection.fetchval(queries.counted(query)))

    async def fetch(self, query: str, kinds: Sequence[Kind], names: Sequence[str]) -> dict[str, Column]:
        """The answer by columns."""
        records = await self.connection.fetch(query)
        columns = enumerate(zip(names, kinds, strict=True))
        return {name: column_of([record[place] for record in records], kind) for place, (name, kind) in columns}


async def estimate(connection: asyncpg.Connection, relation: str, query: str) -> tuple[float, int]:
    """Rows and bytes of a table, roughly; rows are counted by ``query`` where nothing is known."""
    found = await connection.fetchrow(queries.ROWS, relation)
    if found is None or found[1] or found[0] is None:
        return float(await connection.fetchval(queries.counted(query))), int(found[2]) if found else 0
    return float(found[0]), int(found[2])


def treatments_of(plan: Plan, table: PlannedTable, source: Catalogue) -> tuple[Treatment, ...]:
    """How each column of a table is looked at."""
    there = source.table(table.name)
    keys = set(there.primary_key) if there else set()
    ends = [(key.table, key.columns) for key in source.foreign_keys]
    ends += [(key.references, key.referenced_columns) for key in source.foreign_keys]
    ends += [(key.table, key.columns) for key in plan.foreign_keys]
    ends += [(key.references, key.referenced_columns) for key in plan.foreign_keys]
    keys |= {column for name, columns in ends if name == table.name for column in columns}
    return tuple(_treatment(column, table, column.name in keys) for column in table.columns)


def _treatment(column: PlannedColumn, table: PlannedTable, key: bool) -> Treatment:
    found = None if column.masked or column.rule.generator != "duplicate" or key else detect(column, table.name.name)
    return Treatment.of(
        column.name, column.type.name, column.type.family, column.rule.generator,
        masked=column.masked, key=key, looks_like=found.entity if found else "",
    )  # fmt: skip


def is_made(table: PlannedTable) -> bool:
    """Whether the table's rows are synthetic."""
    return table.mode not in ("carry", "duplicate")


def held_out_of(learning: Learning | None) -> str:
    """Rows that a random sample left out, as a condition: PostgreSQL decides by a row's place and the seed alone."""
    if learning is None or learning.sample != "random" or learning.percent >= 100 or learning.model:
        return ""
    if learning.events is not None:
        return f"NOT {sampled_by(learning.key, learning.percent, learning.seed)}"
    samples = " UNION ALL ".join(
        queries.places(leaf.name.schema_name, leaf.name.name, learning.percent, learning.seed)
        for leaf in learning.source.leaves
    )
    return f"NOT EXISTS (SELECT FROM ({samples}) AS s WHERE s.tableoid = t.tableoid AND s.place = t.ctid)"


async def subject_of(ends: Databases, plan: Plan, table: PlannedTable, wanted: Wanted) -> Subject | str:
    """A table's samples; or why there are none. Raises mapped PostgreSQL errors."""
    ours = ends.source_catalogue.table(table.name)
    if ours is None:
        return "the source has no such table"
    if is_made(table):  # what is not in the source has nothing to be compared with
        table = table.model_copy(update={"columns": tuple(c for c in table.columns if ours.column(c.name) is not None)})
    treatments = treatments_of(plan, table, ends.source_catalogue)
    if not treatments:
        return "it carries no column"
    rows = max(1, min(wanted.rows, CELLS_MAX // (2 * LIMIT_FACTOR * len(treatments))))
    with translated():
        return await _Reading(ends, plan, table, treatments, rows, wanted).subject()


class _Reading:
    """What is asked of both databases about one table."""

    def __init__(
        self, ends: Databases, plan: Plan, table: PlannedTable, treatments: tuple[Treatment, ...], rows: int, wanted: Wanted
    ) -> None:  # fmt: skip
        self._table, self._treatments, self._rows, self._wanted = table, treatments, rows, wanted
        self._told: TableFilter | None = next((told for told in plan.filters if told.table == table.number), None)
        self._source, self._destination = _Side(ends.source), _Side(ends.destination)
        ours = ends.source_catalogue.table(table.name)
        pairs = list(zip(table.columns, treatments, strict=True))
        self._values = {
            c.name: queries.value(_expression(c), t.kind, ((ours and ours.column(c.name)) or c).type) for c, t in pairs
        }
        self._after = {c.name: queries.value(_own(c.name), t.kind, c.destination_type) for c, t in pairs}
        self._kinds, self._names = [t.kind for t in treatments], [t.name for t in treatments]

    async def subject(self) -> Subject | str:
        name, rows, seed = str(self._table.name), self._rows, self._wanted.seed
        rng = np.random.default_rng(seed)
        estimated, size = await estimate(self._source.connection, self._relation, self._whole({"n": "1"}))
        there_estimated, there_size = await estimate(
            self._destination.connection, self._relation, self._whole({"n": "1"}, there=True)
        )
        held = self._wanted.held_out.get(name) or held_out_of(self._table.learning)
        before = await self._carried(2 * rows, estimated, size, f"NOT coalesce(({held}), false)" if held else "")
        if size_of(before) < 2:
            return "the source has no row that is carried"
        sample = self._sample(rows, there_estimated, there_size)
        there = await self._fetch(self._destination, self._whole(self._after, sample, rows, there=True), rows, rng)
        if not size_of(there):
            return "the destination has no row"
        real, other = halves(some(before, 2 * rows, rng), rng)
        notes = (
            ()
            if not held or self._table.mode not in ("carry", "duplicate")
            else ("Rows are masked, not learned: --held-out is of no use.",)
        )
        return Subject(
            name, is_made(self._table), self._treatments, real, other, there,
            held_out=await self._held_out(held, size, rng) if held and not notes else None,
            target=self._wanted.targets.get(name),
            estimated=(round(estimated), round(there_estimated)),
            notes=notes,
        )  # fmt: skip

    async def _carried(self, rows: int, estimated: float, size: int, condition: str) -> Rows:
        """Rows of the source that are carried, or that were learned from."""
        if is_made(self._table):
            kept = await self._source.count(self._whole({"n": "1"}, condition=condition)) if condition else estimated
            query = self._whole(self._values, self._sample(rows, kept, size), rows, condition)
        else:
            sample = "" if self._table.view else self._sample(rows, estimated, size)
            query = queries.carried(self._table, self._told, self._values, sample, LIMIT_FACTOR * rows, condition)
        return await self._source.fetch(query, self._kinds, self._names)

    async def _held_out(self, condition: str, size: int, rng: np.random.Generator) -> Rows:
        count = await self._source.count(self._whole({"n": "1"}, condition=condition))
        query = self._whole(self._values, self._sample(self._rows, count, size), self._rows, condition)
        return await self._fetch(self._source, query, self._rows, rng)

    async def _fetch(self, side: _Side, query: str, rows: int, rng: np.random.Generator) -> Rows:
        return some(await side.fetch(query, self._kinds, self._names), rows, rng)

    def _whole(
        self, values: Mapping[str, str], sample: str = "", rows: int = 0, condition: str = "", *, there: bool = False
    ) -> str:
        name = self._table.name
        limit = LIMIT_FACTOR * rows if rows else 1 << 60
        only = there and self._table.only
        return queries.whole(name.schema_name, name.name, values, sample, limit, condition, only=only)

    def _sample(self, rows: int, estimated: float, size: int) -> str:
        return queries.sampled(rows * HEADROOM / estimated if estimated > 0 else 1.0, self._wanted.seed, size)

    @property
    def _relation(self) -> str:
        return qualified(self._table.name.schema_name, self._table.name.name)


def _own(name: str) -> str:
    return f"t.{quote_ident(name)}"


def _expression(column: PlannedColumn) -> str:
    return column.expression if column.cast else _own(column.name)


def column_of(values: list[Any], kind: Kind) -> Column:
    """A column of an answer."""
    if kind in ("number", "moment"):
        return Column(kind, numbers=np.array([np.nan if v is None else v for v in values], np.float64))
    return Column(kind, texts=pa.array(values, pa.string()))
