"""Rows of a model into a file, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tailrace.sample_options import Asked
from tailrace_generator.asked import typed
from tailrace_generator.kernels.canonical import uuid_text
from tailrace_generator.sampling import BLOCK_ROWS, Sampler, SequenceSampler
from tailrace_shared.errors import UsageError
from tailrace_shared.synthesis import Artefact, SequenceArtefact

AT_ONCE = 32 * BLOCK_ROWS
"""Rows in memory; a row group of the file."""


class Rejected(NamedTuple):
    """Rows that were held against the rules, and those of them that broke one."""

    drawn: int
    rejected: int


def write_rows(artefact: Artefact, seed: int, rows: int, to: Path, asked: Asked | None = None) -> Rejected:
    """Draw and write. Raises UsageError (``models.file``) for a file that cannot be written, or whose name says no known format;
    TerminalError for what the model cannot be asked: ``sample.condition``, ``sample.seed``, ``sample.rule``, ``sample.rejected``.
    """
    wanted = asked or Asked()
    sampler = Sampler(artefact, seed, conditions=wanted.conditions, rules=wanted.rules)
    seeds = None if wanted.seeds is None else typed(wanted.seeds, sampler.schema)
    with _writer(to, sampler.schema) as write:
        for first in range(0, rows, AT_ONCE):
            count = min(AT_ONCE, rows - first)
            if seeds is None:
                write(sampler.rows(first, count))
            else:
                turn = (first + np.arange(count)) % seeds.num_rows
                write(sampler.complete(seeds.take(pa.array(turn)), first))
    return Rejected(sampler.drawn, sampler.rejected)


def write_pair(artefact: SequenceArtefact, seed: int, entities: int, to: Path, beside: Path) -> int:
    """Draw entities and their events into two files, with keys 1 … N that bring them together; how many events. Errors as above."""
    sampler, header, count = SequenceSampler(artefact, seed), artefact.header, 0
    key, foreign = pa.field(header.key or "entity", pa.int64()), pa.field(header.foreign_key or "entity", pa.int64())
    schemas = [
        _keyed(field, schema) for field, schema in ((key, sampler.entity_schema), (foreign, sampler.event_schema))
    ]
    with _writer(to, schemas[0]) as write, _writer(beside, schemas[1]) as write_events:
        for first in range(0, entities, BLOCK_ROWS):
            rows = min(BLOCK_ROWS, entities - first)
            events = sampler.events(first, rows)  # before its entities: it keeps the block that both are of
            people = sampler.entities(first, rows)
            write(pa.record_batch([pa.array(np.arange(first, first + rows) + 1), *people.columns], schema=schemas[0]))
            write_events(pa.record_batch([pa.array(events.owners + 1), *events.batch.columns], schema=schemas[1]))
            count += len(events.owners)
    return count


def _keyed(key: pa.Field, schema: pa.Schema) -> pa.Schema:
    return pa.schema([key, *(field for field in schema)])


@contextmanager
def _writer(to: Path, wire: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Writes batches of wire types to a file as its name says."""
    schema = pa.schema([field.with_type(_readable(field.type)) for field in wire])
    writers: dict[str, Any] = {".parquet": pq.ParquetWriter, ".csv": pa_csv.CSVWriter}
    if to.suffix not in writers:
        raise UsageError("models.file", f"{to} says no format", "Let its name end in .parquet or .csv.")

    def write(drawn: pa.RecordBatch) -> None:
        columns = [
            uuid_text(column) if pa.types.is_fixed_size_binary(column.type) else column for column in drawn.columns
        ]
        writer.write_batch(pa.record_batch(columns, schema=schema))

    try:
        with writers[to.suffix](str(to), schema) as writer:
            yield write
    except OSError as error:
        raise UsageError(
            "models.file", f"{to} cannot be written: {error.strerror or error}", "Name another file."
        ) from None


def _readable(wire: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_fixed_size_binary(wire) else wire
