"""Which transactions of the stream a table's snapshot holds already. Pure.

A snapshot is (xmin, xmax, xip) of ``pg_current_snapshot()``: it sees what had an xid below xmax and was not in progress. L is the
WAL insert position read after the snapshot was taken: every transaction that it sees has committed below L. So only commits below
L are asked about, and at the first one at or above it the filter retires for good: the stream's 32-bit xids would come round again.

A commit can be in WAL before it is visible. Then the snapshot has it in progress, and the stream brings it: nothing is lost. It
could also lie before the slot's start; whoever takes the snapshot waits until what was running at the slot's making is over.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tailrace_shared.changes.visible import Visible


class SnapshotFilter:
    """One table's filter. Transactions come in commit order; once retired it lets everything through."""

    def __init__(self, visible: Visible, lsn: int) -> None:
        self.visible = visible
        self.lsn = lsn
        """L: commits at or above it came after the snapshot."""
        self.retired = False

    def held(self, xids: npt.NDArray[np.uint32], lsns: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these transactions the snapshot holds: their changes to the table are to be left out."""
        if self.retired or not len(xids):
            return np.zeros(len(xids), np.bool_)
        before = np.logical_and.accumulate(lsns < np.uint64(self.lsn))
        return before & self.visible.sees(xids)

    def passed(self, lsns: npt.NDArray[np.uint64]) -> None:
        """These transactions are behind us."""
        self.retired |= bool((lsns >= np.uint64(self.lsn)).any())
