"""Whether the source's stream goes on where the lane ends. Pure: what does not meet is loaded anew, never passed over."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace_reader.capture.errors import SlotLost
from tailrace_reader.capture.slots import SlotState
from tailrace_reader.capture.tail import LaneEnd
from tailrace_shared.plan.model import ContinuousPlan


class LostChanges(Exception):
    """The lane and the source do not meet any more."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def reached(follow: ContinuousPlan, end: LaneEnd) -> int:
    """The timeline that the lane is on."""
    return max(follow.timeline, end.timeline)


def check_meeting(
    follow: ContinuousPlan,
    state: SlotState | None,
    source: tuple[str, int, int],
    end: LaneEnd,
    ends: Mapping[int, int],
) -> None:
    """``source``: system, timeline and WAL insert position of the server, as ``source_position`` gives them; ``ends``: where the
    timelines that it descends from were left, wanted only where it is on a later one than the lane.

    A promoted server goes on where it holds everything that the lane holds: then no LSN of the lane stands for something else
    there. Raises SlotLost and LostChanges.
    """
    tail = end.tail
    if state is None or state.lost:
        raise SlotLost(follow.slot, "it does not exist" if state is None else state.reason or "invalidated")
    system, timeline, written = source
    if system != follow.system:
        raise LostChanges("timeline", "the source is another server than the one that was loaded from")
    if timeline < (known := reached(follow, end)):
        raise LostChanges("timeline", "the source is a former primary: another one has been promoted since")
    if timeline > known and ends.get(known, -1) < tail.end:
        raise LostChanges("timeline", "the source has been promoted without everything that its predecessor had told")
    if written < tail.end:
        raise LostChanges("timeline", "the source's WAL ends before the lane does: it was put back to an earlier state")
    if (state.confirmed_lsn or 0) > tail.end:
        raise LostChanges("tail-lost", "Kafka has lost changes that the source has let go")
