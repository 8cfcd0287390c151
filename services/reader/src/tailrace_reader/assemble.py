"""Arrow record batches of one range, from the pieces of a COPY stream.

Where a batch ends is ``cut``'s decision. Which of its columns travel as text because a value does not fit the planned type is
decided from the batch's own rows, so that equal rows give equal bytes however the stream was split.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import pyarrow as pa

from tailrace_reader.cut import Closed, CutRule, Cutter, RowTooLarge
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Chunk, Parser, typed
from tailrace_shared.errors import TerminalError


class Cut(NamedTuple):
    """A batch of a range, ready to be encoded."""

    number: int
    batch: pa.RecordBatch
    bytes: int
    """Its rows' weight: what credit counts."""
    last: bool


class RangeAssembler:
    """Feeds raw rows, hands out batches; holds the rows of the open batch and one piece, nothing more."""

    def __init__(self, parser: Parser, rule: CutRule, where: str) -> None:
        self._parser = parser
        self._layout: Layout = parser.layout
        self._rule = rule
        self._cutter = Cutter(rule)
        self._where = where
        self._pending: deque[Chunk] = deque()
        self._skip = 0
        """Rows of the first pending piece that earlier batches have taken."""
        self._number = 0

    @property
    def ended(self) -> bool:
        """The range has reached its bytes: rows from here on belong to the next one."""
        return self._cutter.ended

    @property
    def rows(self) -> int:
        """Rows that belong to the range so far."""
        return self._cutter.taken

    @property
    def weight(self) -> int:
        """Bytes of those rows."""
        return self._cutter.bytes

    @property
    def batches(self) -> int:
        """Batches handed out so far."""
        return self._number

    def feed(self, raw: bytes) -> list[Cut]:
        """Whole rows as COPY sent them; the batches that they close. Raises TerminalError for a row above the limit."""
        if self.ended or not raw:
            return []
        chunk = self._parser.parse(raw)
        self._pending.append(chunk)
        try:
            closed = self._cutter.feed(chunk.weights)
        except RowTooLarge as error:
            raise TerminalError(
                "reader.row-too-large",
                f"row {error.row:,} of {self._where} is {error.bytes:,} bytes, above the largest message, "
                f"{self._rule.row_bytes:,} bytes",
                "Raise limits.message_bytes in the job (up to 64 MiB), or exclude the table or its large column.",
            ) from None
        return [self._take(batch, last=False) for batch in closed]

    def finish(self) -> Cut | None:
        """The last batch; None for a range without rows."""
        closed = self._cutter.finish()
        last = None if closed is None else self._take(closed, last=True)
        self._pending.clear()
        return last

    def _take(self, closed: Closed, last: bool) -> Cut:
        slices, needed = [], closed.rows
        while needed:
            chunk = self._pending[0]
            length = min(needed, chunk.rows - self._skip)
            slices.append((chunk, self._skip, length))
            needed -= length
            self._skip += length
            if self._skip == chunk.rows:
                self._pending.popleft()
                self._skip = 0
        batch = _batch(self._layout, slices, closed.rows)
        self._number += 1
        return Cut(self._number - 1, batch, closed.bytes, last)


Slices = list[tuple[Chunk, int, int]]


def _batch(layout: Layout, slices: Slices, rows: int) -> pa.RecordBatch:
    if not layout.names:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    columns = [_column(i, layout.types[i], slices) for i in range(len(layout.names))]
    schema = pa.schema([pa.field(name, column.type) for name, column in zip(layout.names, columns, strict=True)])
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(number: int, planned: pa.DataType, slices: Slices) -> pa.Array:
    """The column typed when all of the batch's values fit, as text when one does not.

    Always a copy: a slice would bring its neighbours' bits into the encoded bitmaps.
    """
    parts = []
    for chunk, start, length in slices:
        part = chunk.columns[number].slice(start, length)
        if number in chunk.untyped:
            part = typed(part, planned)
            if part is None:
                return pa.concat_arrays([c.text(number).slice(s, n) for c, s, n in slices])
        parts.append(part)
    return pa.concat_arrays(parts)
