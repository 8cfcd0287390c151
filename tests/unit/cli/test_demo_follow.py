"""The continuous demo's words: both sides, and whether they are equal."""

from __future__ import annotations

import io

from rich.console import Console

from tailrace.demo.follow_display import PlainSides, both, equal_tables
from tailrace.demo.sides import COUNTED, Side
from tailrace.lane_view import LaneView
from tailrace.progress import ProgressView

LANE = LaneView(0.2, 512, 40, 20.0, "reader-1", "reserved", 1 << 20, None, False, ())
SIDES = (
    Side(dict.fromkeys(COUNTED, 1200), "MARY [SMITH], mary@mail.example"),
    Side(dict.fromkeys(COUNTED, 1100), "Chelsey York, york@example.org"),
)


def view(seconds: float) -> ProgressView:
    return ProgressView("01J", "streaming", "following", 1, seconds, (), 0, 1, None, 0, 0, 4, 4, LANE)


def test_both_sides_are_told_now_and_then_with_the_lag() -> None:
    written = io.StringIO()
    shown = PlainSides(Console(file=written, width=200))
    for second in range(8):
        shown.show(view(float(second)), SIDES)
    lines = written.getvalue().splitlines()
    assert sum("lag 0.2 s" in line for line in lines) == 2
    assert sum("1,200 customer" in line for line in lines) == 2
    assert sum("1,100 customer" in line for line in lines) == 2


def test_names_are_not_read_as_markup() -> None:
    written = io.StringIO()
    Console(file=written, width=160).print(both(SIDES))
    assert "MARY [SMITH]" in written.getvalue()


def test_tables_that_differ_are_named() -> None:
    same = {"customer": (2, "7"), "rental": (1, "8")}
    assert equal_tables(same, same).plain.startswith("✓ 2 tables, 3 rows")
    assert "rental" in equal_tables(same, same | {"rental": (1, "9")}).plain
    assert "rental" in equal_tables(same, {"customer": (2, "7")}).plain
