"""Whether the source's stream goes on where the lane ends. Pure: what does not meet is loaded anew, never passed over."""

from __future__ import annotations

from tailrace_reader.capture.errors import SlotLost
from tailrace_reader.capture.record import Tail
from tailrace_reader.capture.slots import SlotState
from tailrace_shared.plan.model import ContinuousPlan


class LostChanges(Exception):
    """The lane and the source do not meet any more."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def check_meeting(follow: ContinuousPlan, state: SlotState | None, source: tuple[str, int, int], tail: Tail) -> None:
    """``source``: system, timeline and WAL insert position of the server, as ``source_position`` gives them.

    Raises SlotLost and LostChanges.
    """
    if state is None or state.lost:
        raise SlotLost(follow.slot, "it does not exist" if state is None else state.reason or "invalidated")
    system, timeline, end = source
    if system != follow.system:
        raise LostChanges("timeline", "the source is another server than the one that was loaded from")
    if timeline != follow.timeline:
        raise LostChanges("timeline", "the source has been promoted: WAL positions may have been used twice")
    if end < tail.end:
        raise LostChanges("timeline", "the source's WAL ends before the lane does: it was put back to an earlier state")
    if (state.confirmed_lsn or 0) > tail.end:
        raise LostChanges("tail-lost", "Kafka has lost changes that the source has let go")
