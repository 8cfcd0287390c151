"""Columns of a synthetic table: all of them are drawn together, block by block, from the table's model."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from tailrace_generator.asked import conditions_of, drawn, given, rules_of
from tailrace_generator.kernels import Kernel
from tailrace_generator.kernels.draws import Ordinals
from tailrace_generator.kernels.maker import Maker
from tailrace_generator.sampling import BLOCK_ROWS, Sampler, schema_of
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import MaskColumn
from tailrace_shared.plan.model import PlannedTable, TableSeeds
from tailrace_shared.synthesis import Artefact, SequenceArtefact


class Drawing:
    """One model, one seed: the rows of a block, for as long as the table's columns ask for it. Not safe for threads.

    Of a model of entities and their events it draws the entities.
    """

    def __init__(
        self, table: PlannedTable, model: Artefact | SequenceArtefact, seeds: TableSeeds | None = None
    ) -> None:
        assert table.learning is not None
        self.digest = model.digest
        part = model.entity if isinstance(model, SequenceArtefact) else model
        self._sampler = Sampler(
            part, table.learning.seed, conditions=conditions_of(table), digest=model.digest,
            rules=rules_of(table, schema_of(part.header)),
        )  # fmt: skip
        self._seeds = None if seeds is None else given(seeds.columns, seeds.rows, self._sampler.schema)
        self._block = -1
        self._rows: pa.RecordBatch | None = None

    @property
    def drawn(self) -> int:
        """Rows that were held against the job's rules."""
        return self._sampler.drawn

    @property
    def rejected(self) -> int:
        """Those of them that broke one, and were drawn again."""
        return self._sampler.rejected

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
            self._rows, self._block = drawn(self._sampler, self._seeds, block), block
        return self._rows


class Drawn(Protocol):
    """What columns are taken from."""

    digest: str

    def column(self, name: str, ordinals: Ordinals) -> pa.Array:
        """A column's values of these rows, in the type that was learned. Ordinals are successive."""


class DrawnMaker(Maker):
    """A column from its table's model, in the destination's wire type; of context, what its rule makes of what is drawn."""

    def __init__(self, name: str, column: MaskColumn, drawing: Drawn, kernel: Kernel | None = None) -> None:
        super().__init__(column)
        self._name, self._drawing, self._kernel = name, drawing, kernel

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        values = self._drawing.column(self._name, ordinals)
        if values.type != self.wire:
            values = (
                values.cast(pa.string()).cast(self.wire) if pa.types.is_decimal(self.wire) else values.cast(self.wire)
            )
        return values if self._kernel is None else self._kernel(values)


def unknown_column(name: str) -> TerminalError:
    """A column is wanted that the model does not have."""
    return TerminalError(
        "model.columns", f"the model has no column {name}", "Let the table be learned again, or name another model."
    )
