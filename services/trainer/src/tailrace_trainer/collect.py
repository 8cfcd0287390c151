"""Collecting a sample of rows in bounded memory, the same whatever the order in which batches arrive.

Every row has a random priority that follows from (seed, batch identity, its place in the batch); the rows with the smallest ones
are kept. A batch that is delivered twice counts once.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

TEXT_CHARS_MAX = 256
"""Of a text that is kept: categories and patterns are shorter, and of long texts only the number of words is learned."""
COMPACT_AT = 2
"""Times the limit that wait before the surplus is dropped."""


class RowSample:
    """At most ``rows_max`` rows, and about ``bytes_max`` bytes of Arrow memory."""

    def __init__(self, rows_max: int, bytes_max: int, seed: int) -> None:
        self._rows_max, self._bytes_max, self._seed = rows_max, bytes_max, seed
        self._seen: set[str] = set()
        self._parts: list[tuple[npt.NDArray[np.float64], pa.RecordBatch]] = []
        self._below = 1.0
        self.offered = 0
        """Rows that have been seen."""

    def add(self, identity: str, batch: pa.RecordBatch) -> None:
        """Consider a batch; ``identity`` names it wherever and however often it is delivered."""
        if identity in self._seen:
            return
        self._seen.add(identity)
        self.offered += len(batch)
        digest = hashlib.blake2b(f"{self._seed}/{identity}".encode(), digest_size=16).digest()
        key = np.frombuffer(digest, "<u8")
        priorities = np.random.Generator(np.random.Philox(key=key)).random(len(batch))
        kept = np.flatnonzero(priorities < self._below)
        if len(kept):
            self._parts.append((priorities[kept], shortened(batch.take(pa.array(kept)))))
        held = sum(len(p) for p, _ in self._parts)
        if held > COMPACT_AT * self._rows_max or self._bytes() > self._bytes_max:
            self._compact()

    def table(self) -> pa.Table:
        """The sample, in an order that is random and always the same. An empty table without columns where nothing was offered."""
        self._compact()
        return pa.table(self._parts[0][1]) if self._parts else pa.table({})

    def _bytes(self) -> int:
        return sum(part.nbytes for _, part in self._parts)

    def _compact(self) -> None:
        if not self._parts:
            return
        priorities = np.concatenate([p for p, _ in self._parts])
        rows = joined([part for _, part in self._parts])
        order = np.argsort(priorities, kind="stable")
        count = min(len(order), self._rows_max)
        while count > 1 and rows.nbytes * count > self._bytes_max * len(order):
            count //= 2
        if count < len(order):
            self._below = float(priorities[order[count]])
        rows = rows.take(pa.array(order[:count])).combine_chunks()
        self._parts = [(priorities[order[:count]], rows.to_batches()[0])] if count else []


def shortened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Its texts cut."""
    arrays = [
        pc.utf8_slice_codeunits(array, 0, TEXT_CHARS_MAX) if pa.types.is_string(array.type) else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def joined(batches: list[pa.RecordBatch]) -> pa.Table:
    """One table; a column that travels as text in some batches is text in all."""
    fields = []
    for name in batches[0].schema.names:
        types = {batch.schema.field(name).type for batch in batches}
        fields.append(pa.field(name, types.pop() if len(types) == 1 else pa.string()))
    schema = pa.schema(fields)
    return pa.concat_tables(
        [pa.table(batch).cast(schema) if batch.schema != schema else pa.table(batch) for batch in batches]
    )
