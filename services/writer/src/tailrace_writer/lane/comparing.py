"""Where a lane stops for a comparison: before the first source transaction that commits at or above its point. Pure.

The point is known a moment after a marker has gone through the lane. The lane waits at the marker for it, so that it cannot have
been passed; where the lane is behind its source anyway, the point is known long before and nothing waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailrace_shared.changes.body import Body
from tailrace_shared.changes.controls import Marker, comparison_token


@dataclass(frozen=True, slots=True)
class Wanted:
    """A comparison that waits for the destination to come to its point."""

    number: int
    plan: str
    """Digest of the plan by which its tables are compared."""
    tables: tuple[int, ...]
    point: int | None
    """None: not known yet."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The marker comes next: wait for the point."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Apply what commits below ``point``, up to ``last``; then the destination is there."""

    point: int
    last: int
    """Commit LSN of the last such transaction of the record; ``above`` where it has none."""


def stop_in(wanted: Wanted | None, body: Body, above: int, last: int) -> Hold | Cut | None:
    """What a record means for a comparison. ``above``: commits up to there are applied; ``last``: of the record's last one."""
    if wanted is None:
        return None
    if wanted.point is None:
        token = comparison_token(wanted.number)
        marked = any(isinstance(e, Marker) and e.token == token and e.lsn > above for e in body.controls)
        return Hold() if marked else None
    if last < wanted.point:
        return None
    return Cut(wanted.point, last_below(body, above, wanted.point))


def last_below(body: Body, above: int, point: int) -> int:
    """Commit LSN of the record's last transaction between the two; ``above`` where there is none."""
    found = [entry.lsn for entry in body.controls if above < entry.lsn < point]
    for _, rows in body.tables:
        between = rows.lsn[(rows.lsn > np.uint64(max(above, 0))) & (rows.lsn < np.uint64(point))]
        if len(between):
            found.append(int(between.max()))
    return max(found, default=above)
