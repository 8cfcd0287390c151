"""Rows of a model into a file, in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tailrace_generator.kernels.canonical import uuid_text
from tailrace_generator.sampling import BLOCK_ROWS, Sampler
from tailrace_shared.errors import UsageError
from tailrace_shared.synthesis import Artefact

AT_ONCE = 32 * BLOCK_ROWS
"""Rows in memory; a row group of the file."""


def write_rows(artefact: Artefact, seed: int, rows: int, to: Path) -> None:
    """Draw and write. Raises UsageError (``models.file``) for a file that cannot be written, or whose name says no known format."""
    sampler = Sampler(artefact, seed)
    schema = pa.schema([field.with_type(_readable(field.type)) for field in sampler.schema])
    writers: dict[str, Any] = {".parquet": pq.ParquetWriter, ".csv": pa_csv.CSVWriter}
    if to.suffix not in writers:
        raise UsageError("models.file", f"{to} says no format", "Let its name end in .parquet or .csv.")
    try:
        with writers[to.suffix](str(to), schema) as writer:
            for first in range(0, rows, AT_ONCE):
                drawn = sampler.rows(first, min(AT_ONCE, rows - first))
                columns = [
                    uuid_text(column) if pa.types.is_fixed_size_binary(column.type) else column
                    for column in drawn.columns
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
    except OSError as error:
        raise UsageError(
            "models.file", f"{to} cannot be written: {error.strerror or error}", "Name another file."
        ) from None


def _readable(wire: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_fixed_size_binary(wire) else wire
