"""Samples of sequences: parents drawn at random, with all of their rows, from both databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import numpy as np

from tailrace.planning import Databases
from tailrace.quality import queries
from tailrace.quality.columns import Column
from tailrace.quality.model import SequenceQuality
from tailrace.quality.sampling import HEADROOM, Wanted, column_of, estimate, is_made
from tailrace.quality.sequences import Events, sequence_distances
from tailrace.quality.treatment import Treatment
from tailrace_shared.catalogue.model import ForeignKey
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

PARENTS: Final = 3_000
ROWS_MAX: Final = 300_000
"""Of all sampled parents together; a table with longer sequences is not looked at."""
KEYS_MAX: Final = 3
COLUMNS_MAX: Final = 8
TABLE_BYTES_MAX: Final = 8 << 30
"""Finding the rows of some parents may read all of a table that has no index for it."""


async def sequences_of(
    ends: Databases, plan: Plan, table: PlannedTable, tables: Sequence[PlannedTable], treatments: Sequence[Treatment],
    wanted: Wanted,
) -> tuple[tuple[SequenceQuality, ...], tuple[str, ...]]:  # fmt: skip
    """What a table's rows are to the rows that they refer to; and what could not be looked at. Raises mapped PostgreSQL errors."""
    known = {other.name: other for other in tables}
    keys = [
        key
        for key in ends.source_catalogue.foreign_keys
        if key.table == table.name and key.references != table.name and key.references in known and not key.temporal
    ][:KEYS_MAX]
    found, notes = [], []
    for key in keys:
        reading = _Reading(ends, plan, table, known[key.references], key, tuple(treatments), wanted)
        with translated():
            one = await reading.quality()
        if isinstance(one, str):
            notes.append(f"Sequences along {key.name} were not looked at: {one}.")
        elif one.statistics:
            found.append(one)
    return tuple(found), tuple(notes)


@dataclass(frozen=True)
class _Reading:
    """One foreign key between two tables that are both compared."""

    ends: Databases
    plan: Plan
    table: PlannedTable
    parent: PlannedTable
    key: ForeignKey
    treatments: tuple[Treatment, ...]
    wanted: Wanted

    async def quality(self) -> SequenceQuality | str:
        sides = []
        for connection, there in ((self.ends.source, False), (self.ends.destination, True)):
            relation = qualified(self.table.name.schema_name, self.table.name.name)
            _, size = await estimate(connection, relation, self._whole(self.table, {"n": "1"}, there=there))
            if size > TABLE_BYTES_MAX:
                return f"{self.table.name} is too large to look up rows in"
            events = await self._events(connection, there=there)
            if events is None:
                return f"{PARENTS:,} rows of {self.parent.name} have more than {ROWS_MAX:,} rows in {self.table.name}"
            sides.append(events)
        return SequenceQuality(
            table=str(self.table.name),
            parent=str(self.parent.name),
            key=self.key.name,
            order=self._order or "",
            parents=(sides[0].parents, sides[1].parents),
            statistics=sequence_distances(*sides),
        )

    @property
    def _order(self) -> str | None:
        """What orders the rows: what the user names, else the first day or moment that is compared by its values."""
        asked = self.wanted.orders.get(str(self.table.name))
        if asked:
            return asked
        moments = [t for t in self.treatments if t.kind == "moment" and t.compared == "values" and not _span(t.type)]
        return moments[0].name if moments else None

    @property
    def _followed(self) -> list[Treatment]:
        """The order, and columns of which is told what follows what."""
        ordered = [t for t in self.treatments if t.name == self._order]
        valued = [
            t for t in self.treatments if t.compared == "values" and t.kind in ("number", "name") and t not in ordered
        ]
        return [*ordered, *valued[:COLUMNS_MAX]]

    async def _events(self, connection: asyncpg.Connection, *, there: bool) -> Events | None:
        followed = self._followed
        relation = qualified(self.parent.name.schema_name, self.parent.name.name)
        rows, size = await estimate(connection, relation, self._whole(self.parent, {"n": "1"}, there=there))
        sample = "" if self.parent.view and not there else queries.sampled(
            PARENTS * HEADROOM / rows if rows > 0 else 1.0, self.wanted.seed, size
        )  # fmt: skip
        parents = self._rows(self.parent, _raw(self.key.referenced_columns), sample, PARENTS, there=there)
        values = _raw(self.key.columns) | {t.name: self._value(t, there=there) for t in followed}
        children = self._rows(self.table, values, "", 1 << 60, there=there)
        keys = list(zip(self.key.columns, self.key.referenced_columns, strict=True))
        records = await connection.fetch(
            queries.events(parents, children, keys, [t.name for t in followed], ROWS_MAX + 1)
        )
        return None if len(records) > ROWS_MAX else _events_of(records, followed, self._order)

    def _value(self, treatment: Treatment, *, there: bool) -> str:
        column = next(c for c in self.table.columns if c.name == treatment.name)
        ours = self.ends.source_catalogue.table(self.table.name)
        typed = ours.column(column.name) if ours else None
        type_ = column.destination_type if there else typed.type if typed else column.type
        return queries.value(f"t.{quote_ident(column.name)}", treatment.kind, type_)

    def _rows(self, table: PlannedTable, values: Mapping[str, str], sample: str, limit: int, *, there: bool) -> str:
        if there or is_made(table):
            return self._whole(table, values, sample, limit, there=there)
        told = next((told for told in self.plan.filters if told.table == table.number), None)
        return queries.carried(table, told, values, sample, limit)

    def _whole(
        self, table: PlannedTable, values: Mapping[str, str], sample: str = "", limit: int = 1 << 60, *, there: bool
    ) -> str:
        only = there and table.only
        return queries.whole(table.name.schema_name, table.name.name, values, sample, limit, only=only)


def _events_of(records: Sequence[Any], followed: Sequence[Treatment], order: str | None) -> Events:
    real = [record for record in records if record[1]]
    columns: dict[str, Column] = {
        t.name: column_of([record[place] for record in real], t.kind) for place, t in enumerate(followed, 2)
    }
    parents = len({record[0] for record in records})
    moments = columns.pop(order).values if order is not None and order in columns else None
    return Events(parents, np.array([record[0] for record in real], np.int64), moments, columns)


def _raw(names: Sequence[str]) -> dict[str, str]:
    return {name: f"t.{quote_ident(name)}" for name in names}


def _span(type_name: str) -> bool:
    return type_name.startswith(("interval", "time ")) or type_name == "time"
