"""What a table's load has seen: transactions of the lane that must not be applied to it again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace_shared.changes.visible import Visible


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot, and the LSN from which on no transaction can be in it: it is a few transactions after the snapshot, so that xids
    of 32 bits mean what they say."""

    snapshot: Visible
    until: int

    @staticmethod
    def of(snapshot: str, until: int) -> Seen:
        """From what ``pg_current_snapshot`` prints. Raises ValueError."""
        return Seen(Visible.parse(snapshot), until)

    def mask(self, xid: npt.NDArray[np.uint32], lsn: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which changes, by xid and commit LSN of their transactions, the load has seen."""
        behind = lsn < np.uint64(self.until)
        return behind & self.snapshot.sees(xid) if behind.any() else behind

    def saw(self, xid: int, lsn: int) -> bool:
        """The same of one transaction."""
        return bool(self.mask(np.array([xid & 0xFFFFFFFF], np.uint32), np.array([lsn], np.uint64))[0])
