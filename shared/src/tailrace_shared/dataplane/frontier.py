"""How far a partition may be committed: up to the first delivery that is not done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping


class Frontier:
    """Deliveries of the partitions that are assigned now, and which of them are done.

    Invariants: an offset is committed only when it and every delivery before it (since the partition was assigned) is done;
    a partition that was revoked is unknown until its first delivery under a new assignment, so that a late ``done`` of an
    earlier assignment moves nothing. Offsets of one partition arrive ascending; holes are allowed. A delivery at or below
    an earlier one means that the partition was rewound, and starts it over.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def add(self, partition: int, offset: int) -> None:
        """A delivery was taken from the consumer."""
        state = self._partitions.get(partition)
        if state is None or offset <= state.last:
            state = self._partitions[partition] = _Partition()
        state.last = offset
        state.open.append(offset)

    def done(self, partition: int, offset: int) -> None:
        """Its effect is in place. Ignored for anything that is not open under the current assignment."""
        state = self._partitions.get(partition)
        if state is not None and state.open and state.open[0] <= offset <= state.last:
            state.finished.add(offset)
            while state.open and state.open[0] in state.finished:
                state.next = state.open.popleft() + 1
                state.finished.discard(state.next - 1)

    def commits(self) -> dict[int, int]:
        """Next offset to read per partition, where the contiguous prefix has grown beyond what is confirmed."""
        return {p: s.next for p, s in self._partitions.items() if s.next > s.confirmed}

    def confirm(self, commits: Mapping[int, int]) -> None:
        """Kafka has stored these commits: they are not offered again."""
        for partition, following in commits.items():
            state = self._partitions.get(partition)
            if state is not None:
                state.confirmed = max(state.confirmed, following)

    def revoke(self, partitions: Iterable[int]) -> None:
        """Forget partitions: another member may own them; what they still run is delivered again, to whom it may concern."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def revoke_all(self) -> None:
        """Forget every partition."""
        self._partitions.clear()

    @property
    def open(self) -> int:
        """Deliveries that are not committed: running, or behind one that is."""
        return sum(len(state.open) for state in self._partitions.values())


class _Partition:
    __slots__ = ("confirmed", "finished", "last", "next", "open")

    def __init__(self) -> None:
        self.open: deque[int] = deque()
        self.finished: set[int] = set()
        self.last = -1
        self.next = -1
        self.confirmed = -1
