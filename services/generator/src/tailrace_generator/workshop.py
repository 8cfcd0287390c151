"""The generated tables of a plan: their columns' makers, and references between them.

A reference is not looked up: a parent's key is a function of its ordinal, so a child draws an ordinal and computes the key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from tailrace_generator.drawing import Drawing, DrawnMaker
from tailrace_generator.drawing_events import EventDrawing, OwnerMaker
from tailrace_generator.kernels import Kernel, MaskSecret, build
from tailrace_generator.kernels.canonical import uuid_text
from tailrace_generator.kernels.draws import Draw, Ordinals, Permutation, Source, digit, earlier, even, fanned, skewed
from tailrace_generator.kernels.made_registry import build_maker
from tailrace_generator.kernels.maker import Maker, nulled
from tailrace_generator.kernels.tags import Tags
from tailrace_generator.pool import Pool
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import Ai, MakeReference, MaskColumn
from tailrace_shared.plan.model import ParentKey, Plan, PlannedColumn, PlannedTable, TableSeeds
from tailrace_shared.synthesis import Artefact, SequenceArtefact

Keys = Callable[[Ordinals], pa.Array]
"""A parent's keys by their ordinals, or by their places in a pool."""


class Workshop:
    """Makers by table and column, each built when it is first needed."""

    def __init__(self, plan: Plan, secret: MaskSecret, seeds: Mapping[int, TableSeeds] | None = None) -> None:
        """``seeds`` by table, as the plan had them sealed."""
        self._plan = plan
        self._seeds = seeds or {}
        self._secret = secret
        self._makers: dict[tuple[int, str], Maker] = {}
        self._pools: dict[int, Pool] = {}
        self._drawings: dict[int, Drawing | EventDrawing] = {}

    def has(self, table: int, model: str) -> bool:
        """Whether the table's rows can be drawn from the model of that digest."""
        return table in self._drawings and self._drawings[table].digest == model

    def take(self, table: int, model: Artefact | SequenceArtefact) -> None:
        """Draw the table's rows from this model. Raises TerminalError for a model that does not know what is wanted of it."""
        planned = self._plan.table(table)
        if planned.events_of is None:
            self._drawings[table] = Drawing(planned, model, self._seeds.get(table))
        elif isinstance(model, SequenceArtefact):
            self._drawings[table] = EventDrawing(self._plan.table(planned.events_of), planned, model)
        else:
            raise TerminalError(
                "model.columns", f"the model {model.digest[:12]} is of one table, without the events {planned.name}",
                "Name another model, or let the table be learned.",
            )  # fmt: skip
        for key in [key for key in self._makers if key[0] == table]:
            del self._makers[key]

    def events(self, table: int) -> EventDrawing:
        """What the events of a table are drawn by."""
        drawing = self._drawings[table]
        assert isinstance(drawing, EventDrawing)
        return drawing

    def rejected(self, table: int) -> tuple[int, int]:
        """Rows of a table that were held against the job's rules here, and those that broke one."""
        drawing = self._drawings.get(table)
        return (drawing.drawn, drawing.rejected) if isinstance(drawing, Drawing) else (0, 0)

    def has_pool(self, table: int, digest: str) -> bool:
        """Whether that pool of a carried table's keys is here."""
        return table in self._pools and self._pools[table].digest == digest

    def take_pool(self, table: int, pool: Pool) -> None:
        """Draw references to the table from this pool. Raises TerminalError for one that is not as planned."""
        for planned in self._plan.pools:
            if planned.table == table:
                pool.require(planned.rows)
        self._pools[table] = pool

    def maker(self, table: int, column: str) -> Maker:
        """What makes a column of a generated table."""
        key = (table, column)
        if key not in self._makers:
            planned = self._plan.table(table)
            self._makers[key] = self._build(planned, next(c for c in planned.columns if c.name == column))
        return self._makers[key]

    def kernel(self, column: PlannedColumn) -> Kernel:
        """What a column of a carried table becomes that refers to a generated one."""
        assert column.parent is not None
        assert column.mask is not None
        return ReferenceKernel(
            column.mask, self._secret, column.parent, self.maker(column.parent.table, column.parent.column)
        )

    def _build(self, table: PlannedTable, column: PlannedColumn) -> Maker:
        mask = column.mask or MaskColumn(
            type=column.type, domain=f"{table.name}.{column.name}", family=column.type.family
        )
        owner = column.parent is not None and column.parent.owner
        context = table.learning is not None and column.name in table.learning.context
        if isinstance(column.rule, Ai) or owner or context:
            if table.number not in self._drawings:
                raise TerminalError(
                    "generator.no-model", f"{table.name}.{column.name} is drawn from a model, and there is none",
                    "Run the job: the model is learned from its source.",
                )  # fmt: skip
            if column.parent is not None:
                key = self.maker(column.parent.table, column.parent.column)
                return OwnerMaker(mask, self.events(table.number), key)
            kernel = build(column.rule, mask, self._secret) if context and column.rule.masks else None
            return DrawnMaker(column.name, mask, self._drawings[table.number], kernel)
        if not isinstance(column.rule, MakeReference):
            return build_maker(column.rule, mask, self._secret, column.slot)
        if column.parent is None:
            raise TerminalError(
                "generator.needs-input", f"{table.name}.{column.name} refers to nothing", "Plan again, and report this."
            )
        return ReferenceMaker(table, column, mask, self._secret, self._keys(table, column, column.parent))

    def _keys(self, table: PlannedTable, column: PlannedColumn, to: ParentKey) -> Keys:
        if not to.pool:
            return self.maker(to.table, to.column)
        if to.table not in self._pools:
            raise TerminalError(
                "generator.no-pool", f"{table.name}.{column.name} refers to carried rows, and their keys are not there",
                "Run the job: they are read from its source.",
            )  # fmt: skip
        return self._pools[to.table].keys(to.column)


class ReferenceMaker(Maker):
    """The key of a parent row that is drawn; all columns of one foreign key draw the same row."""

    def __init__(
        self, table: PlannedTable, column: PlannedColumn, mask: MaskColumn, secret: MaskSecret, parent: Keys
    ) -> None:
        super().__init__(mask)
        rule, to = column.rule, column.parent
        assert isinstance(rule, MakeReference)
        assert to is not None
        self._parent = parent
        self._source = Source(secret, f"{table.name} {to.name}")
        self._share = rule.null_share
        self._first = to.earlier and mask.nullable
        self._draw: Draw
        if column.slot is not None:
            self._draw = digit(secret, column.slot)
        elif to.earlier:
            self._draw = earlier(self._source)
        elif to.fan_out:
            self._draw = fanned(secret, f"{table.name} {to.name}", table.rows, to.rows, to.fan_out)
        elif rule.skew:
            order = Permutation(secret, f"{table.name} {to.name}", to.rows)
            self._draw = skewed(self._source, to.rows, rule.skew, order)
        else:
            self._draw = even(self._source, to.rows)

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        values = fitted(self._parent(self._draw(ordinals)), self.wire)
        nulls = self._source.nulls(ordinals, self._share) if self._share else np.zeros(len(ordinals), np.bool_)
        return nulled(values, nulls | (ordinals == 0) if self._first else nulls)


class ReferenceKernel(Kernel):
    """Equal values refer to the same row of the generated table; NULL stays NULL."""

    def __init__(self, column: MaskColumn, secret: MaskSecret, to: ParentKey, parent: Maker) -> None:
        super().__init__(column)
        self._tags = Tags(column, secret)
        self._rows = np.uint64(to.rows)
        self._parent = parent

    def mask(self, values: pa.Array) -> pa.Array:
        ordinals = (self._tags(values)[:, 0] % self._rows).view(np.int64)
        return fitted(self._parent(ordinals), values.type)


def fitted(keys: pa.Array, wire: pa.DataType) -> pa.Array:
    """Keys of a parent in the type of the column that refers to it."""
    if keys.type == wire:
        return keys
    if pa.types.is_fixed_size_binary(keys.type):
        return uuid_text(keys)
    return keys.cast(pa.string()).cast(wire) if pa.types.is_decimal(wire) else keys.cast(wire)
