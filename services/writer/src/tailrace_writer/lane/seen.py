"""What a table's load has seen: transactions of the lane that must not be applied to it again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot, as ``pg_current_snapshot`` prints it, and the LSN from which on no transaction can be in it.

    Xids of WAL have 32 bits, those of the snapshot 64: they are compared as distances from the snapshot's own xmax, which is right
    as long as the transaction is less than 2³¹ away. ``until`` sees to that: it is a few transactions after the snapshot.
    """

    xmin: int
    xmax: int
    running: tuple[int, ...]
    until: int

    @staticmethod
    def of(snapshot: str, until: int) -> Seen:
        """From ``xmin:xmax:xip,xip…``. Raises ValueError."""
        xmin, xmax, running = snapshot.split(":")
        return Seen(int(xmin), int(xmax), tuple(int(x) for x in running.split(",") if x), until)

    def mask(self, xid: npt.NDArray[np.uint32], lsn: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which changes, by xid and commit LSN of their transactions, the load has seen."""
        behind = lsn < np.uint64(self.until)
        if not behind.any():
            return behind
        # Signed distance modulo 2³²: before xmax is negative.
        distance = (xid - np.uint32(self.xmax & 0xFFFFFFFF)).astype(np.uint32).view(np.int32)
        running = np.array([x & 0xFFFFFFFF for x in self.running], dtype=np.uint32)
        visible: npt.NDArray[np.bool_] = behind & (distance < 0) & ~np.isin(xid, running)
        return visible

    def saw(self, xid: int, lsn: int) -> bool:
        """The same of one transaction."""
        return bool(self.mask(np.array([xid & 0xFFFFFFFF], np.uint32), np.array([lsn], np.uint64))[0])
