"""Replicas that were lost while a run went on, and whether memory is likely to be why.

A replica that is killed says nothing more. Its last heartbeats say how much memory it used of how much it may: one that was about
at its limit and then fell silent was likely killed by the kernel. What shoots up within one heartbeat is not seen, so ``unknown``
does not say that it was not memory; the container's own record (OOMKilled, exit code 137) does.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tailrace_shared.messages import ReplicaLost

NEAR = 0.9
"""Share of the limit from which a silent replica counts as killed for memory. The kernel charges more than resident memory to a
group: page tables, sockets, files that are being written."""
KEPT = 10
"""Losses that a run's record names."""
_FRESH_S = 60.0
"""A leader that has just begun does not report what was lost long before."""


class Losses:
    """What one leader has found; replicas that its record already names are not told again."""

    def __init__(self, stale_s: float, told: Iterable[ReplicaLost] = ()) -> None:
        self._stale_s = stale_s
        self._lost = {loss.replica: loss for loss in told}
        self._known = set(self._lost)
        self._alive: set[str] = set()

    @property
    def latest(self) -> tuple[ReplicaLost, ...]:
        """Oldest first."""
        return tuple(sorted(self._lost.values(), key=lambda loss: loss.at)[-KEPT:])

    def look(self, now: float, replicas: Iterable[Any], *, settled: bool) -> list[ReplicaLost]:
        """Note who is there; the losses that are new. ``replicas``: rows of the table, ages in seconds. While silence means nothing
        (``settled``), nobody is lost."""
        new = []
        for row in replicas:
            name = row["replica"]
            if row["age"] < self._stale_s:
                self._alive.add(name)
                if name in self._lost and not row["leaving"]:  # it was stopped, cut off or asleep, and goes on
                    self._lost.pop(name)
                    self._known.discard(name)
                continue
            recent = name in self._alive or row["age"] < self._stale_s + _FRESH_S
            if not settled or row["leaving"] or name in self._known or not recent:
                continue
            self._known.add(name)
            new.append(loss_of(row, now))
        for loss in new:
            self._lost[loss.replica] = loss
        return new


def loss_of(row: Any, now: float) -> ReplicaLost:
    """The loss of the replica of that row, noticed at ``now``, seconds since the epoch."""
    used, limit = row["memory_bytes"], row["memory_limit"]
    return ReplicaLost(
        service=row["service"],
        replica=row["replica"],
        at=datetime.fromtimestamp(now, UTC),
        memory_bytes=used,
        memory_limit=limit,
        cause="memory" if limit and used >= NEAR * limit else "unknown",
    )
