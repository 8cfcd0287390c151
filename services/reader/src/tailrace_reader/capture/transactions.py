"""Transactions that a run of frames begins or goes on with. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_reader.capture.cutting import closes
from tailrace_reader.capture.frames import MESSAGE, Frames
from tailrace_reader.capture.tuples import Bytes, Ints, Stream, protocol_error

EPOCH_US = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000."""
_BEGIN, _MESSAGE = ord("B"), ord("M")


class Open(NamedTuple):
    """The transaction that the frames so far have begun and not ended."""

    xid: int
    lsn: int
    time: int
    pieces: int
    """Pieces of it that were cut off."""


class Context(NamedTuple):
    """Where a control entry stands; fields of ``changes.Entry``."""

    seq: int
    xid: int
    lsn: int
    time: int


@dataclass(frozen=True, slots=True)
class Transactions:
    """Frames by transaction. A message outside of transactions is one of its own, with its LSN and no xid."""

    tags: Bytes
    """Per frame."""
    closing: npt.NDArray[np.bool_]
    """Per frame: it ends a transaction."""
    of: Ints
    """Per frame: its transaction."""
    xid: npt.NDArray[np.uint32]
    lsn: npt.NDArray[np.uint64]
    time: Ints
    """µs since 1970."""

    @staticmethod
    def of_frames(stream: Stream, frames: Frames, begun: Open | None) -> Transactions:
        """Raises TerminalError (``capture.protocol``) for frames that no transaction holds."""
        at = frames.starts
        tags = stream.bytes[at + MESSAGE]
        closing = closes(frames)
        heads = (tags == _BEGIN) | (closing & (tags == _MESSAGE))
        body = at[heads] + MESSAGE + 1
        begins = tags[heads] == _BEGIN
        lsn = np.where(begins, stream.longs[body], stream.longs[body + 1])
        time = np.where(begins, stream.longs[body + 8] + EPOCH_US, 0)
        xid = np.where(begins, stream.words[body + 16], 0)
        of = np.cumsum(heads) - 1
        if begun is not None:
            lsn, time, xid, of = (
                np.append(begun.lsn, lsn),
                np.append(begun.time, time),
                np.append(begun.xid, xid),
                of + 1,
            )
        if len(of) and of[0] < 0:
            raise protocol_error("a change came outside of a transaction")
        return Transactions(tags, closing, of, xid.astype(np.uint32), lsn.astype(np.uint64), time.astype(np.int64))

    def first(self, frames: int) -> Transactions:
        """The same of the first frames only."""
        if frames >= len(self.tags):
            return self
        some = int(self.of[frames - 1]) + 1 if frames else int(self.of[0] == 0 and self.tags[0] != _BEGIN)
        return Transactions(
            self.tags[:frames],
            self.closing[:frames],
            self.of[:frames],
            self.xid[:some],
            self.lsn[:some],
            self.time[:some],
        )

    def context(self, frame: int) -> Context:
        """Where an entry of this frame stands."""
        return self.context_of(int(self.of[frame]), frame)

    def context_of(self, transaction: int, seq: int) -> Context:
        """An entry of a transaction at that place in the record."""
        return Context(seq, int(self.xid[transaction]), int(self.lsn[transaction]), int(self.time[transaction]))
