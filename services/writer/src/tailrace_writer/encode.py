"""Arrow batches → what COPY reads: PostgreSQL's binary format where the types allow it, CSV text where they do not.

Binary is at the speed of the server. CSV takes what PostgreSQL's own input functions understand, so it serves types without
a binary form of ours, and the batches that carry a typed column as text because a value did not fit its wire type.
"""

from __future__ import annotations

import binascii
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, NamedTuple

import pgpq
import pyarrow as pa
import pyarrow.csv
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb

from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import PlannedColumn, PlannedTable
from tailrace_shared.types import ColumnType, arrow_type

SLICE_BYTES = 64 << 10
"""Per CopyData message: the server buffers one whole, and larger ones are no faster."""
_TEXTUAL = frozenset({"text", "varchar", "bpchar", "name", "citext", "json"})
"""Types whose binary form is the text itself. Not ``"char"``, which is one byte whatever the encoding."""

Format = Literal["binary", "csv"]


class Encoded(NamedTuple):
    """A batch as COPY takes it."""

    format: Format
    pieces: tuple[bytes, ...]

    async def slices(self) -> AsyncIterator[bytes]:
        """The data in messages of at most SLICE_BYTES."""
        for piece in self.pieces:
            for start in range(0, len(piece), SLICE_BYTES):
                yield piece[start : start + SLICE_BYTES]


class TableEncoder:
    """Encodes the batches of one planned table; what depends on the types alone is made once."""

    def __init__(self, table: PlannedTable) -> None:
        self.table = table
        self.columns = [c.name for c in table.columns]
        self._encoders: dict[str, tuple[pa.Schema, dict[str, Any]] | None] = {}

    def encode(self, batch: pa.RecordBatch) -> Encoded:
        """The batch for ``COPY table (columns)``. Raises TerminalError (``batch.columns``) for other columns than planned."""
        if batch.schema.names != self.columns:
            raise TerminalError(
                "batch.columns",
                f"a batch of {self.table.name} has other columns than the plan",
                "Run the same version of all services.",
            )
        layout = self._layout(batch.schema)
        if layout is not None:
            try:
                return _binary(batch, *layout)
            except pa.ArrowException:
                pass  # a value that the destination's narrower type cannot hold: let the server say so
        return Encoded("csv", (_csv(batch),))

    def _layout(self, schema: pa.Schema) -> tuple[pa.Schema, dict[str, Any]] | None:
        key = ",".join(str(field.type) for field in schema)
        if key not in self._encoders:
            self._encoders[key] = None if self.table.copy_format == "csv" else layout_of(schema, self.table.columns)
        return self._encoders[key]


def layout_of(schema: pa.Schema, columns: Sequence[PlannedColumn]) -> tuple[pa.Schema, dict[str, Any]] | None:
    """Arrow types and encoders for a binary COPY; None when one column has no binary form."""
    fields: list[pa.Field] = []
    encoders: dict[str, Any] = {}
    for field, column in zip(schema, columns, strict=True):
        target = binary_type(field.type, column.destination_type)
        if target is None:
            return None
        fields.append(pa.field(field.name, target, nullable=True))
        if column.destination_type.base == "jsonb":
            encoders[field.name] = StringEncoderBuilder.new_with_output(fields[-1], Jsonb())
        else:
            encoders[field.name] = pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(fields[-1])
    return pa.schema(fields), encoders


def binary_type(given: pa.DataType, destination: ColumnType) -> pa.DataType | None:
    """The Arrow type whose binary form the destination's type reads, for a column that comes as ``given``; None: CSV."""
    if pa.types.is_string(given) or pa.types.is_large_string(given):
        textual = destination.base in _TEXTUAL or destination.base == "jsonb" or destination.family == "enum"
        return pa.string() if textual else None
    if pa.types.is_decimal128(given):
        return given if destination.base == "numeric" else None  # the server rounds to the column's own scale
    if destination.wire in ("text", "decimal"):
        return None
    target = arrow_type(destination)
    alike = (pa.types.is_integer, pa.types.is_floating)
    return target if given == target or any(kind(given) and kind(target) for kind in alike) else None


def _binary(batch: pa.RecordBatch, schema: pa.Schema, encoders: dict[str, Any]) -> Encoded:
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)
    body = pa.record_batch(columns, schema=schema)
    return Encoded("binary", (encoder.write_header(), encoder.write_batch(body), encoder.finish()))


def _csv(batch: pa.RecordBatch) -> bytes:
    """NULL is an unquoted empty field, the empty string ``""``: what COPY's CSV means by them."""
    columns = [_uuid_text(c) if pa.types.is_fixed_size_binary(c.type) else c for c in batch.columns]
    sink = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(pa.record_batch(columns, names=batch.schema.names), sink, options)
    return sink.getvalue()


def _uuid_text(column: pa.Array) -> pa.Array:
    """16 bytes → 32 hexadecimal digits, which PostgreSQL reads as a uuid."""
    data = column.buffers()[1]
    start = column.offset * 16
    digits = binascii.hexlify(memoryview(data).cast("B")[start : start + 16 * len(column)]) if data else b""
    plain = pa.Array.from_buffers(pa.binary(32), len(column), [None, pa.py_buffer(digits)]).cast(pa.binary())
    text = plain.cast(pa.string())
    return pa.compute.if_else(column.is_valid(), text, pa.scalar(None, pa.string())) if column.null_count else text
