"""Where change records end: at a commit while transactions fit, else inside of one. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace_reader.capture.frames import MESSAGE, Frames

CHANGES = 16_384
"""Measured: 4,096 give three quarters of the rate, 32,768 the same."""
BYTES = 4 << 20
DELAY_S = 0.05
_COMMIT, _MESSAGE = ord("C"), ord("M")


@dataclass(frozen=True)
class CutRule:
    """Limits of a record. A frame counts as a change, also the two that begin and end a transaction."""

    changes: int = CHANGES
    bytes: int = BYTES
    """Of frames: what becomes of them is not larger, but for one that is larger by itself."""
    delay_s: float = DELAY_S
    """After its first frame has come, a record waits no longer for more."""

    @staticmethod
    def of(message_bytes: int) -> CutRule:
        """For messages of at most that size: half of it leaves room for what Arrow adds."""
        return CutRule(bytes=min(BYTES, message_bytes // 2))

    def due(self, count: int, held: int, since: float, now: float) -> bool:
        """Worth looking for a cut: enough is in hand, or it has waited long enough."""
        return count > 0 and (count >= self.changes or held >= self.bytes or now - since >= self.delay_s)

    def cut(self, frames: Frames, inside: bool) -> int:
        """How many of the frames make the next record; 0: more must come first.

        ``inside``: a piece of the transaction at hand is cut already. A record then ends with that transaction, so that a record
        holds either whole transactions or a piece of one.
        """
        starts = frames.starts
        if not len(starts):
            return 0
        ends = np.append(starts[1:], frames.end)
        fits = int(np.searchsorted(ends, starts[0] + self.bytes, side="right"))
        room = max(1, min(fits, self.changes))
        full = len(starts) > room or len(starts) >= self.changes or frames.bytes >= self.bytes
        closing = np.flatnonzero(closes(frames.first(room)))
        if len(closing):
            return int(closing[0] if inside else closing[-1]) + 1
        return room if full else 0


def closes(frames: Frames) -> npt.NDArray[np.bool_]:
    """Which frames end a transaction, or stand for one: a commit, a message that belongs to none."""
    data = np.frombuffer(frames.data, np.uint8)
    tags = data[frames.starts + MESSAGE]
    free = data[frames.starts + MESSAGE + 1] & 1 == 0
    return np.asarray((tags == _COMMIT) | ((tags == _MESSAGE) & free))
