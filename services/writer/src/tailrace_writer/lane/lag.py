"""How far a lane is behind its source in time: told from the lane's row, look by look. Pure: rows and a clock's readings go in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

SILENT_S = 10.0
"""A capture says every two seconds how it is; after so long it is not there, and what the source holds is not known."""
FRESH_S = 5.0
"""For so long the way that the newest change took says how a lane does that has caught up."""


class Lag:
    """Looks at one lane's row, times in seconds of the destination's clock."""

    def __init__(self) -> None:
        self._level_at: float | None = None
        """When the destination was last seen to lack nothing that was captured."""

    def look(self, row: Any, now: float) -> float | None:
        """Seconds since the oldest change that the destination lacks was committed; None where nothing is known of it.

        Where it lacks none: how long the newest one took, while changes come, else 0. The source's clock counts for one and the
        destination's for the other: what they differ by is in it.
        """
        if row["caught_up"]:  # it has ended: nobody captures any more
            return 0.0
        committed, applied, seen = (_seconds(row[name]) for name in ("committed_at", "applied_at", "seen_at"))
        if row["tail"] > row["position"]:
            since = max((t for t in (committed, self._level_at) if t is not None), default=None)
        elif seen is None or now - seen > SILENT_S:
            since = seen
        else:
            self._level_at = now
            fresh = committed is not None and applied is not None and now - applied <= FRESH_S
            return max(0.0, (applied or 0.0) - (committed or 0.0)) if fresh else 0.0
        return None if since is None else max(0.0, now - since)


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
