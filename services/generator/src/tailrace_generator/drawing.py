"""Columns of a synthetic table: all of them are drawn together, block by block, from the table's model."""

from __future__ import annotations

from math import inf
from typing import Protocol

import pyarrow as pa

from tailrace_generator.kernels.draws import Ordinals
from tailrace_generator.kernels.maker import Maker
from tailrace_generator.sampling import BLOCK_ROWS, Sampler
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import Ai, MaskColumn
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.synthesis import Artefact, SequenceArtefact
from tailrace_shared.synthesis.conditions import Between, Condition, Weighted


class Drawing:
    """One model, one seed: the rows of a block, for as long as the table's columns ask for it. Not safe for threads.

    Of a model of entities and their events it draws the entities.
    """

    def __init__(self, table: PlannedTable, model: Artefact | SequenceArtefact) -> None:
        assert table.learning is not None
        self.digest = model.digest
        part = model.entity if isinstance(model, SequenceArtefact) else model
        self._sampler = Sampler(part, table.learning.seed, conditions=conditions_of(table), digest=model.digest)
        self._block = -1
        self._rows: pa.RecordBatch | None = None

    def column(self, name: str, ordinals: Ordinals) -> pa.Array:
        """A column's values of these rows, in the type that was learned. Ordinals are successive."""
        first, count = int(ordinals[0]), len(ordinals)
        place = self._sampler.schema.get_field_index(name)
        if place < 0:
            raise unknown_column(name)
        pieces = []
        for block in range(first // BLOCK_ROWS, -(-(first + count) // BLOCK_ROWS)):
            start = max(0, first - block * BLOCK_ROWS)
            end = min(BLOCK_ROWS, first + count - block * BLOCK_ROWS)
            pieces.append(self._of(block).column(place).slice(start, end - start))
        return pa.concat_arrays(pieces)

    def _of(self, block: int) -> pa.RecordBatch:
        if self._rows is None or block != self._block:
            self._rows, self._block = self._sampler.rows(block * BLOCK_ROWS, BLOCK_ROWS), block
        return self._rows


class Drawn(Protocol):
    """What columns are taken from."""

    digest: str

    def column(self, name: str, ordinals: Ordinals) -> pa.Array:
        """A column's values of these rows, in the type that was learned. Ordinals are successive."""


class DrawnMaker(Maker):
    """A column from its table's model, in the destination's wire type."""

    def __init__(self, name: str, column: MaskColumn, drawing: Drawn) -> None:
        super().__init__(column)
        self._name, self._drawing = name, drawing

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        values = self._drawing.column(self._name, ordinals)
        if values.type == self.wire:
            return values
        return values.cast(pa.string()).cast(self.wire) if pa.types.is_decimal(self.wire) else values.cast(self.wire)


def unknown_column(name: str) -> TerminalError:
    """A column is wanted that the model does not have."""
    return TerminalError(
        "model.columns", f"the model has no column {name}", "Let the table be learned again, or name another model."
    )


def conditions_of(table: PlannedTable) -> list[Condition]:
    """What the rules of the table's columns ask of the model."""
    found: list[Condition] = []
    for column in table.columns:
        rule = column.rule
        if not isinstance(rule, Ai) or not rule.conditioned:
            continue
        if rule.weights:
            weights = dict[str | None, float]()
            weights.update(rule.weights.items())
            found.append(Weighted(column=column.name, weights=weights))
        else:
            low, high = -inf if rule.low is None else rule.low, inf if rule.high is None else rule.high
            found.append(Between(column=column.name, low=low, high=high))
    return found
