"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite

from tailrace.quality.model import ColumnQuality

DAY = 86_400.0


def percent(share: float | None, digits: int = 1) -> str:
    """``1.2 %``; a dash for what was not measured."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None) -> str:
    """At most four significant digits, thousands apart."""
    if value is None:
        return "–"
    if not isfinite(value):
        return str(value)
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) < 1e12 and abs(value) >= 1000 else f"{value:.3g}"


def form_of(column: ColumnQuality) -> Callable[[float], str]:
    """How a column's values are written: numbers, days, times of day or spans."""
    if column.kind != "moment":
        return number
    if column.type.startswith("interval"):
        return _span
    return _clock if column.type.startswith("time ") or column.type == "time" else _day


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):  # a year that Python does not know
        return f"{seconds / DAY / 365.2425 + 1970:.0f}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}"


def _span(seconds: float) -> str:
    return f"{seconds / DAY:,.1f} d" if abs(seconds) >= DAY else f"{seconds / 3600:,.1f} h"
