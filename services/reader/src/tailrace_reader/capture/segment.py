"""What one record will hold: the decoder's result. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tailrace_reader.capture.frames import MESSAGE
from tailrace_reader.capture.transactions import Open, Transactions
from tailrace_reader.capture.tuples import Ints, Stream
from tailrace_shared.changes import ChangeRows, Control, RelationChanged

_END = MESSAGE + 10
"""In a Commit: flags, commit LSN, then the LSN behind it."""
_COMMIT = ord("C")


@dataclass(frozen=True, slots=True)
class Segment:
    """Whole transactions, or a piece of one, decoded."""

    frames: int
    """Frames that this is made of: the stream goes on behind them."""
    tables: tuple[tuple[int, ChangeRows], ...]
    controls: tuple[Control, ...]
    transactions: int
    """Transactions that end here and are above the lane's tail."""
    last: int
    """Commit LSN of the last transaction, also of one that has not ended; 0 where all are at or below the lane's tail."""
    end: int
    """Where the slot may be confirmed once this is acknowledged; 0 while inside a transaction."""
    piece: int
    final: bool
    first_xid: int = 0
    last_xid: int = 0
    first_time: int = 0
    last_time: int = 0
    halt: RelationChanged | None = None
    """A carried table's shape has changed, and this segment ends there: what follows may need another plan."""

    @property
    def empty(self) -> bool:
        """Nothing to send: everything in it is in the lane already."""
        return self.last == 0

    def going_on(self) -> Segment:
        """The same where what follows has its plan: nothing has to be said of the shape."""
        return replace(self, controls=tuple(c for c in self.controls if c is not self.halt), halt=None)

    @property
    def changes(self) -> int:
        """Rows."""
        return sum(len(rows) for _, rows in self.tables)


def segment_of(
    stream: Stream,
    at: Ints,
    some: Transactions,
    kept: npt.NDArray[np.bool_],
    begun: Open | None,
    tables: Sequence[tuple[int, ChangeRows]],
    controls: Sequence[Control],
    halt: RelationChanged | None,
) -> Segment:
    """The segment of frames at ``at``, of which transactions ``kept`` are above the lane's tail."""
    final = bool(some.closing[-1]) if len(at) else False
    end = 0
    if final and some.tags[-1] == _COMMIT:
        end = int(stream.longs[at[-1] + _END])
    elif final:
        end = int(some.lsn[-1])
    real = kept & (some.xid > 0)
    xids, times = some.xid[real], some.time[real]
    return Segment(
        frames=len(at),
        tables=tuple(tables),
        controls=tuple(controls),
        transactions=int(np.count_nonzero(kept[some.of[some.closing]])),
        last=int(some.lsn[-1]) if kept[-1:].any() else 0,
        end=end,
        piece=begun.pieces if begun is not None else 0,
        final=final,
        first_xid=int(xids[0]) if len(xids) else 0,
        last_xid=int(xids[-1]) if len(xids) else 0,
        first_time=int(times.min()) if len(times) else 0,
        last_time=int(times.max()) if len(times) else 0,
        halt=halt,
    )
