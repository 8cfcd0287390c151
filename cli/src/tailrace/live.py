"""Showing a run while it goes on: a panel that redraws itself on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tailrace.console import Output, duration, number, size
from tailrace.lane_view import alarms, lag, lane_panel, lane_words
from tailrace.progress import ProgressView, follows
from tailrace_shared.messages import RunRecord

PLAIN_EVERY_SECONDS = 3.0
"""A line at every change of state and otherwise at most so often: logs should not fill."""
FOLLOWING_EVERY_SECONDS = 10.0
"""The same while a run follows its source: that lasts for months."""
_BAR_COLUMNS = 28
_REDRAWS_PER_SECOND = 8


class Display(Protocol):
    """Shows views of one run."""

    def show(self, view: ProgressView) -> None: ...

    def message(self, text: str) -> None:
        """A line that stays."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(output: Output) -> Display:
    """The display that fits standard error."""
    return LiveDisplay(output.err) if output.err.is_terminal else PlainDisplay(output.err)


class PlainDisplay:
    """Plain lines, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: tuple[object, ...] | None = None
        self._last_seconds = 0.0

    def show(self, view: ProgressView) -> None:
        key = (view.words, view.attempt, tuple(alarms(view.lane)) if view.lane else ())
        if key == self._said and view.seconds - self._last_seconds < _every_seconds(view):
            return
        self._said, self._last_seconds = key, view.seconds
        self.message(line(view))

    def message(self, text: str) -> None:
        self._console.print(text, markup=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LiveDisplay:
    """A panel that redraws itself and is gone at the end; the summary takes its place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=_REDRAWS_PER_SECOND, transient=True)

    def show(self, view: ProgressView) -> None:
        self._live.update(panel(view))

    def message(self, text: str) -> None:
        self._console.print(text, markup=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def _every_seconds(view: ProgressView) -> float:
    if view.state == "loading":
        return PLAIN_EVERY_SECONDS
    return FOLLOWING_EVERY_SECONDS if view.state == "streaming" else float("inf")


def following(record: RunRecord) -> str:
    """How far a run that follows its source is behind, in a few words; empty for any other."""
    return f"lag {lag(record.lanes[0])}" if record.lanes and follows(record) else ""


def line(view: ProgressView) -> str:
    """One line: ``12.0 s  loading: read 1,200 masked 1,100 loaded 1,000 of 2,000 rows, 500 rows/s, …``."""
    text = f"{duration(view.seconds):>8}  {view.words}"
    if view.attempt > 1:
        text += f" (attempt {view.attempt})"
    if view.lane is not None:
        return f"{text}: {lane_words(view.lane)}"
    if view.state != "loading" or not view.tables:
        return text
    parts = [f"{stage.name} {number(stage.rows)}" for stage in view.stages]
    of = f" of {number(view.total_rows)}" if view.total_rows else ""
    text += f": {', '.join(parts)}{of} rows, {number(view.stages[-1].rows_per_second)} rows/s"
    if view.eta_seconds is not None:
        text += f", {duration(view.eta_seconds)} left"
    return text + f", credit {size(view.credit_used)} of {size(view.credit_bytes)}"


def panel(view: ProgressView) -> Table:
    """The same with a bar per stage."""
    outer = Table.grid(padding=(0, 0))
    head = Text.assemble((f" {view.run} ", "bold"), (view.words, "cyan"), (f"  {duration(view.seconds)}", "dim"))
    if view.attempt > 1:
        head.append(f"  attempt {view.attempt}", "yellow")
    outer.add_row(head)
    if view.lane is not None:
        outer.add_row(lane_panel(view.lane))
        return outer
    stages = Table.grid(padding=(0, 2))
    stages.add_column(width=8)
    stages.add_column(width=_BAR_COLUMNS)
    for _ in range(3):
        stages.add_column(justify="right", no_wrap=True)
    for stage in view.stages:
        bar = ProgressBar(total=max(view.total_rows, 1), completed=stage.rows, width=_BAR_COLUMNS)
        who = {"read": "reader", "masked": "generator", "loaded": "writer"}[stage.name]
        stages.add_row(
            f"  {stage.name}",
            bar,
            f"{number(stage.rows)} rows",
            f"{number(stage.rows_per_second)} rows/s" if view.state == "loading" else "",
            f"[dim]{stage.replicas} {who}{'' if stage.replicas == 1 else 's'}[/dim]",
        )
    credit = ProgressBar(total=max(view.credit_bytes, 1), completed=view.credit_used, width=_BAR_COLUMNS, style="dim")
    eta = f"{duration(view.eta_seconds)} left" if view.eta_seconds is not None else ""
    stages.add_row(
        "  credit",
        credit,
        f"{size(view.credit_used)}",
        f"of {size(view.credit_bytes)}",
        escape(f"{view.tables_loaded}/{view.tables} tables  {eta}"),
    )
    outer.add_row(stages)
    return outer
