"""A table that goes through changes and writes down what a change stream would say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tailrace_writer.lane.fold import DELETE, INSERT, UPDATE, Changes

Row = tuple[int, str, str | None, str | None]
COLUMNS = ("id", "part", "note", "body")
"""The first two are the key; ``note`` and ``body`` may not come."""
SCHEMA = pa.schema([("id", pa.int64()), ("part", pa.string()), ("note", pa.string()), ("body", pa.string())])
KEY = SCHEMA.names[:2]


class Source:
    """A table that goes through random changes and writes down what the stream would say of them."""

    def __init__(self, stored: dict[tuple[int, str], Row]) -> None:
        self.rows = dict(stored)
        self.said: list[tuple[int, Row, tuple[int, str] | None, tuple[bool, bool]]] = []

    def insert(self, row: Row) -> None:
        self.rows[row[:2]] = row
        self.said.append((INSERT, row, None, (False, False)))

    def update(self, old: tuple[int, str], row: Row, gone: tuple[bool, bool]) -> None:
        before = self.rows.pop(old)
        note, body = (before[i] if absent else row[i] for i, absent in zip((2, 3), gone, strict=True))
        self.rows[row[:2]] = (*row[:2], note, body)
        said = (*row[:2], None if gone[0] else row[2], None if gone[1] else row[3])
        self.said.append((UPDATE, said, old if old != row[:2] else None, gone))

    def delete(self, old: tuple[int, str]) -> None:
        del self.rows[old]
        self.said.append((DELETE, (*old, None, None), old, (False, False)))

    def changes(self) -> Changes:
        return Changes(
            op=np.array([op for op, *_ in self.said], dtype=np.int8),
            rows=batch([row for _, row, _, _ in self.said]),
            old=batch(
                [((*old, None, None) if old else (None, None, None, None)) for _, _, old, _ in self.said], keys=True
            ),
            moved=np.array([op == UPDATE and old is not None for op, _, old, _ in self.said], dtype=bool),
            gone=np.array([(False, False, *gone) for *_, gone in self.said], dtype=bool).reshape(len(self.said), 4),
        )


def batch(rows: list[Any], *, keys: bool = False) -> pa.RecordBatch:
    whole = pa.RecordBatch.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema=SCHEMA)
    return whole.select(KEY) if keys else whole
