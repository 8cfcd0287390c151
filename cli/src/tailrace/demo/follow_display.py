"""Showing source and destination of the continuous demo side by side: redrawn on a terminal, lines now and then elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tailrace.console import Output, number
from tailrace.demo.databases import DESTINATION, SOURCE
from tailrace.demo.sides import COUNTED, Side
from tailrace.live import PlainDisplay, line, panel
from tailrace.progress import ProgressView

EVERY_S = 5.0
_REDRAWS_PER_SECOND = 4
Pair = tuple[Side, Side]


class SidesDisplay(Protocol):
    """Shows the run, and both sides while it follows."""

    def show(self, view: ProgressView, sides: Pair | None) -> None: ...

    def message(self, text: str) -> None:
        """A line that stays."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def sides_display(output: Output) -> SidesDisplay:
    """The display that fits standard error."""
    return LiveSides(output.err) if output.err.is_terminal else PlainSides(output.err)


class PlainSides(PlainDisplay):
    """Lines, for files and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._sides_at: float | None = None

    def show(self, view: ProgressView, sides: Pair | None = None) -> None:
        if sides is None:
            super().show(view)
        elif self._sides_at is None or view.seconds - self._sides_at >= EVERY_S:
            self._sides_at = view.seconds
            self.message(line(view))
            for name, side in zip((SOURCE, DESTINATION), sides, strict=True):
                self.message(f"{name:>20}: {counted(side)}; newest {side.newest}")


class LiveSides:
    """A table that redraws itself and is gone at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=_REDRAWS_PER_SECOND, transient=True)

    def show(self, view: ProgressView, sides: Pair | None = None) -> None:
        parts: list[RenderableType] = [panel(view)]
        if sides is not None:
            parts.insert(0, both(sides))
        self._live.update(Group(*parts))

    def message(self, text: str) -> None:
        self._console.print(Text.assemble(("▸ ", "bold cyan"), text))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def counted(side: Side) -> str:
    """``600 customer, 604 address, …``."""
    return ", ".join(f"{number(rows)} {table}" for table, rows in side.rows.items())


def both(sides: Pair) -> Table:
    """Rows per table, and the customer that was changed last."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("")
    shown.add_column(SOURCE, style="red", min_width=44)
    shown.add_column(DESTINATION, style="green", min_width=44)
    before, after = sides
    for table in COUNTED:
        shown.add_row(table, number(before.rows[table]), number(after.rows[table]))
    shown.add_row("changed last", escape(before.newest), escape(after.newest))
    return shown


def equal_tables(followed: Mapping[str, tuple[int, str]], fresh: Mapping[str, tuple[int, str]]) -> Text:
    """What was followed against a fresh masked snapshot: which tables differ, or that none does."""
    different = sorted(name for name in followed.keys() | fresh.keys() if followed.get(name) != fresh.get(name))
    if different:
        return Text(f"✗ {', '.join(different)}: not what a fresh masked snapshot holds", style="bold red")
    rows = sum(count for count, _ in fresh.values())
    return Text.assemble(
        ("✓ ", "bold green"),
        f"{len(fresh)} tables, {number(rows)} rows: what was followed is what a fresh masked snapshot holds, row for row",
    )
