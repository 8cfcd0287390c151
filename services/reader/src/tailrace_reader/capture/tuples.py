"""Tuples of pgoutput messages, walked by column: the k-th field of all rows in one step. Pure.

TupleData: number of columns (int16), then per column a flag and, for ``t`` and ``b``, a length and that many bytes.
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TUPLEDATA
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace_shared.errors import TerminalError

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
NULL, TEXT, UNCHANGED = ord("n"), ord("t"), ord("u")
_KNOWN = np.isin(np.arange(256), (NULL, TEXT, UNCHANGED))


@dataclass(frozen=True, slots=True)
class Field:
    """One column of many rows: where its texts are."""

    flag: Bytes
    start: Ints
    size: Ints
    """0 where there is no text."""

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.flag == TEXT)

    def spread(self, rows: Ints, present: npt.NDArray[np.bool_]) -> Field:
        """Fields of some rows among all: row i takes ``rows[i]`` where ``present``, and is null elsewhere."""
        if not len(self.flag):
            return absent(len(rows))
        return Field(
            np.where(present, self.flag[rows], np.uint8(NULL)),
            np.where(present, self.start[rows], 0),
            np.where(present, self.size[rows], 0),
        )

    def or_else(self, other: Field) -> Field:
        """Where a value did not come, the other's."""
        take = (self.flag == UNCHANGED) & (other.flag == TEXT)
        if not take.any():
            return self
        return Field(
            np.where(take, other.flag, self.flag),
            np.where(take, other.start, self.start),
            np.where(take, other.size, self.size),
        )


def absent(rows: int) -> Field:
    """Of a column that no row has: NULL in all of them."""
    return Field(np.full(rows, NULL, np.uint8), np.zeros(rows, np.int64), np.zeros(rows, np.int64))


class Stream:
    """A buffer of frames as bytes, and as the big-endian numbers that begin at any of its bytes."""

    def __init__(self, data: bytearray) -> None:
        self.bytes: Bytes = np.frombuffer(data, np.uint8)
        self.words = np.ndarray((len(data) - 3,), ">u4", data, strides=(1,))
        self.longs = np.ndarray((len(data) - 7,), ">i8", data, strides=(1,))

    def walk(self, at: Ints, columns: int, table: str) -> tuple[list[Field], Ints]:
        """Fields of the tuples that begin at ``at``, and where each tuple ends.

        Raises TerminalError (``capture.protocol``) for tuples of another width or of a format that was not asked for.
        """
        counts = self.bytes[at].astype(np.int64) << 8 | self.bytes[at + 1]
        if (counts != columns).any():
            raise protocol_error(f"a row of {table} has other columns than its description")
        at = at + 2
        fields = []
        for _ in range(columns):
            flag = self.bytes[at]
            has = flag == TEXT
            size = np.where(has, self.words[at + 1], 0).astype(np.int64)
            fields.append(Field(flag, at + 5, size))
            at = at + 1 + np.where(has, size + 4, 0)
        if any((~_KNOWN[field.flag]).any() for field in fields):
            raise protocol_error(f"a row of {table} has a field of an unknown kind")
        return fields, at


def protocol_error(what: str) -> TerminalError:
    """The stream is not what this release can read."""
    return TerminalError(
        "capture.protocol", f"logical replication: {what}", "Please report this, with the version of the source server."
    )
