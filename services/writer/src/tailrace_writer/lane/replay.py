"""How far a lane's records may be deleted: behind what is applied, by a window of bytes that stays. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

GRAINS = 64
"""The window is kept to a 64th of its size: so many looks are remembered, however slowly the lane flows."""


class Consumed(NamedTuple):
    """Offsets below which nobody needs a record."""

    changes: int
    """Masked by a generator."""
    masked: int
    """Held by the destination."""


class _Look(NamedTuple):
    made: int
    consumed: Consumed


class ReplayWindow:
    """Remembers where the lane was when so many bytes less had been masked. A new leader knows nothing of that, and lets the window
    fill once more before it deletes."""

    def __init__(self, keep_bytes: int) -> None:
        self._keep = keep_bytes
        self._looks: deque[_Look] = deque()

    def look(self, made: int, consumed: Consumed) -> Consumed:
        """What may be deleted now. ``made``: bytes of masked changes so far; it only grows, unless it begins anew."""
        if self._looks and made < self._looks[-1].made:
            self._looks.clear()
        if not self._looks or made - self._looks[-1].made >= self._keep // GRAINS:
            self._looks.append(_Look(made, consumed))
        while len(self._looks) > 1 and self._looks[1].made <= made - self._keep:
            self._looks.popleft()
        oldest = self._looks[0]
        return oldest.consumed if oldest.made <= made - self._keep else Consumed(0, 0)
