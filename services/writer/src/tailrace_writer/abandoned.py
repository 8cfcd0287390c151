"""Which runs of a destination are abandoned: not over, led by nobody, and with their topics gone for good.

A run whose installation was killed together with its broker stays in the state tables: its claims would refuse every later
run on the same tables, and what it dropped would stay dropped. Judged with care, since an installation that is only being
restarted looks alike for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

NEVER_PLANNED_S = 24 * 3600.0
"""A run without topics cannot be missed by them. It holds no claim, and is in nobody's way: it has a day."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run of the state tables that is not over."""

    run: str
    epoch: int
    """Of its last leader."""
    silent_s: float
    """Since its last leader's last heartbeat, by the destination's clock."""
    had_topics: bool
    """Its topics were made; they go after its end only."""


class Watch:
    """Watches one destination. A look that failed must be followed by ``reset``.

    After an outage of the destination every run looks silent: so silence counts only while it is watched, without a gap, for
    as long as a leader takes to be stale.
    """

    def __init__(self, patience_s: float, stale_s: float) -> None:
        self._patience_s = patience_s
        self._stale_s = stale_s
        self._looked: float | None = None
        self._since: dict[tuple[str, int], float] = {}

    def reset(self) -> None:
        """The destination was away."""
        self._since.clear()

    def silent(self, unfinished: Iterable[Unfinished], known: Collection[str], now: float) -> list[Unfinished]:
        """Runs that may be abandoned, unless their topics are there after all. ``known``: runs of this writer's namespace."""
        if self._looked is not None and now - self._looked > self._stale_s:
            self.reset()  # nobody has looked for a while: this writer was stopped, or the destination hung
        self._looked = now
        quiet = [
            u
            for u in unfinished
            if u.run not in known and u.silent_s >= (self._patience_s if u.had_topics else NEVER_PLANNED_S)
        ]
        self._since = {(u.run, u.epoch): self._since.get((u.run, u.epoch), now) for u in quiet}
        return [u for u in quiet if now - self._since[u.run, u.epoch] >= self._stale_s]


def runs_with_topics(topics: Iterable[str]) -> set[str]:
    """Runs, of any namespace, that have a topic among these: in upper case, as the tables name them."""
    return {part.upper() for topic in topics for part in topic.split(".") if len(part) == 26}
