"""A table's masking: its kernels, built once per attempt, applied to whole batches."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from tailrace_generator.kernels import Kernel, MaskSecret, build
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.generators import MaskColumn
from tailrace_shared.plan.model import PlannedColumn, PlannedTable


class _Column(NamedTuple):
    name: str
    kernel: Kernel | None
    generator: str


class TableMasker:
    """Raw batch in, masked batch out; same schema, same rows, same order."""

    def __init__(self, table: PlannedTable, secret: MaskSecret, workshop: Workshop | None = None) -> None:
        self._name = str(table.name)
        self._columns = [_Column(c.name, _kernel(c, secret, workshop), c.rule.generator) for c in table.columns]
        self.passes = all(c.kernel is None for c in self._columns)
        """Nothing is masked: the batch may go on as it came."""

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Apply the kernels. Raises TransientError (tried again, then the run fails) that names the column, never a value."""
        columns = [self.column(position, array) for position, array in enumerate(batch.columns)]
        return pa.record_batch(columns, schema=batch.schema)

    def column(self, position: int, array: pa.Array) -> pa.Array:
        """Values of the column at a position of the plan, masked. Raises as the whole does."""
        column = self._columns[position]
        return array if column.kernel is None else self._apply(column, column.kernel, array)

    def _apply(self, column: _Column, kernel: Kernel, array: pa.Array) -> pa.Array:
        try:
            made = kernel(array)
        except TailraceError:
            raise
        except Exception as error:
            raise TransientError(
                "generator.kernel",
                f"generator {column.generator} failed on {self._name}.{column.name} ({type(error).__name__})",
                "Choose another generator for the column, and report this: it is a defect.",
            ) from None
        if made.type != array.type or len(made) != len(array):
            raise TransientError(
                "generator.kernel",
                f"generator {column.generator} changed type or length of {self._name}.{column.name}",
                "Report this defect.",
            )
        return made


def _kernel(column: PlannedColumn, secret: MaskSecret, workshop: Workshop | None) -> Kernel | None:
    if column.parent is not None and workshop is not None:
        return workshop.kernel(column)
    if column.rule.generator == "duplicate":
        return None
    mask = column.mask or MaskColumn(type=column.type, domain=column.name, family=column.type.family)
    return build(column.rule, mask, secret)
