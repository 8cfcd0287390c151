"""Which transactions of the stream a snapshot sees: the reader asks it of a capture's filter, the writer of a load. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_EPOCH = 1 << 32
_HALF = 1 << 31


@dataclass(frozen=True)
class Visible:
    """A snapshot's xids, with their epochs: 64 bits."""

    xmin: int
    xmax: int
    xip: frozenset[int] = field(default_factory=frozenset)

    @staticmethod
    def parse(text: str) -> Visible:
        """From ``xmin:xmax:xip,…`` as ``pg_snapshot`` prints itself. Raises ValueError."""
        xmin, xmax, xip = text.split(":")
        return Visible(int(xmin), int(xmax), frozenset(int(x) for x in xip.split(",") if x))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.xip)))}"

    def sees(self, xids: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        """Which 32-bit xids are visible, each taken as the full xid nearest to xmax: right for 2³¹ transactions around it."""
        ahead = (xids.astype(np.int64) - self.xmax % _EPOCH + _HALF) % _EPOCH - _HALF
        running = np.array(sorted(x % _EPOCH for x in self.xip), np.uint32)
        return (ahead < 0) & ~np.isin(xids, running)
