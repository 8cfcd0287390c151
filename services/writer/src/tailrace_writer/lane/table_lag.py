"""How far each table is behind its source: told from the lane's row and what its capture says. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tailrace_shared.messages import TableWaits
from tailrace_writer.lane.lag import SILENT_S
from tailrace_writer.lane.position import lsn_of, lsn_text

Told = dict[str, Any]
"""Fields of a ``TableProgress``."""
_AWAY = ("quarantined", "resync")


class TableLags:
    """One look at a lane, ``now`` in seconds of the destination's clock."""

    def __init__(self, lane: Any, now: float) -> None:
        self._lane = lane
        self._now = now
        waits = (TableWaits.model_validate(one) for one in json.loads(lane["waits"]))
        self._waits = {one.table: one for one in waits if lsn_of(one.until) > lane["position"]}

    def of(self, table: int, state: str, former: Mapping[str, Any] | None) -> Told:
        """Of a table in that state. ``former``: what was told of it before.

        The source's clock counts for some of it and the destination's for the rest: what they differ by is in it.
        """
        if state in _AWAY:
            return self._left(former or {})
        if state != "loaded" or self._lane["seen_at"] is None:
            return {}
        if self._lane["caught_up"]:  # the lane has ended, and nobody captures any more
            return {"lag_s": 0.0}
        seconds, known = self._everywhere()
        if (waits := self._waits.get(table)) is not None:
            seconds, known = self._waiting(waits, seconds, known)
        return {"lag_s": round(max(0.0, seconds), 3), "lag_bytes": max(0, self._lane["source_end"] - known)}

    def _everywhere(self) -> tuple[float, int]:
        """Seconds and WAL position since which changes of any table may be missing."""
        lane, silent = self._lane, self._now - self._lane["seen_at"].timestamp()
        known = max(lane["tail"], lane["position"])
        if silent > SILENT_S:
            return silent + lane["behind_s"], known
        return (lane["behind_s"], known) if lane["behind_s"] else (0.0, lane["source_end"])

    def _waiting(self, waits: TableWaits, seconds: float, known: int) -> tuple[float, int]:
        lane, since, behind = self._lane, waits.since.timestamp(), lsn_of(waits.behind)
        if lane["position"] > behind and lane["committed_at"] is not None:
            # It has come on since the capture heard of it: nothing is missing of what was committed before its newest change.
            since, behind = max(since, lane["committed_at"].timestamp()), lane["position"]
        return max(seconds, self._now - since), min(known, behind)

    def _left(self, former: Mapping[str, Any]) -> Told:
        """A table that does not follow stays where it was, whoever leads."""
        end = self._lane["source_end"]
        if former.get("left_at"):
            left = former["left"]
            return {"left_at": former["left_at"], "left": left, "lag_bytes": max(0, end - lsn_of(left))}
        at = self._now - (former.get("lag_s") or 0.0)
        left = lsn_text(max(0, max(self._lane["position"], end) - (former.get("lag_bytes") or 0)))
        return {"left_at": datetime.fromtimestamp(at, UTC), "left": left, "lag_bytes": former.get("lag_bytes") or 0}
