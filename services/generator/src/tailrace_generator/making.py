"""A generated table's rows: its makers, built once per attempt, applied to whole batches of ordinals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tailrace_generator.kernels.draws import Ordinals
from tailrace_generator.kernels.maker import Maker
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.plan.model import PlannedColumn, PlannedTable


class TableMaker:
    """Ordinals in, a batch of rows out; the same whoever makes it and however the ordinals are cut."""

    def __init__(self, table: PlannedTable, workshop: Workshop) -> None:
        self._table = table
        self._makers = [(column, workshop.maker(table.number, column.name)) for column in table.columns]
        self._schema = pa.schema([pa.field(column.name, maker.wire) for column, maker in self._makers])

    def __call__(self, first: int, rows: int) -> pa.RecordBatch:
        """So many rows from an ordinal on. Raises TransientError (tried again, then the run fails) that names the column."""
        ordinals = np.arange(first, first + rows, dtype=np.int64)
        return pa.record_batch(
            [self._make(column, maker, ordinals) for column, maker in self._makers], schema=self._schema
        )

    def _make(self, column: PlannedColumn, maker: Maker, ordinals: Ordinals) -> pa.Array:
        try:
            made = maker(ordinals)
        except TailraceError:
            raise
        except Exception as error:
            raise TransientError(
                "generator.kernel",
                f"generator {column.rule.generator} failed on {self._table.name}.{column.name} ({type(error).__name__})",
                "Choose another generator for the column, and report this: it is a defect.",
            ) from None
        if made.type != maker.wire or len(made) != len(ordinals):
            raise TransientError(
                "generator.kernel",
                f"generator {column.rule.generator} made a wrong type or length for {self._table.name}.{column.name}",
                "Report this defect.",
            )
        return made
