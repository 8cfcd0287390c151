"""A report in the terminal: one line per table, one per gate that is not passed, and where to look first."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from tailrace.quality.model import ColumnQuality, QualityReport, Verdict

STYLES: dict[Verdict, str] = {"pass": "green", "warn": "yellow", "fail": "bold red", "unmeasured": "dim"}
FARTHEST = 3


def quality_lines(report: QualityReport) -> list[Any]:
    """What is printed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("table", "rows compared", "shape", "by chance", "trend", "by chance", "told apart", "privacy"):
        table.add_column(name, justify="left" if name in ("table", "privacy") else "right")
    lines: list[Any] = [table]
    for one in report.tables:
        verdicts = [f"[{STYLES[g.verdict]}]{g.name} {g.verdict}[/]" for g in one.gates if g.verdict != "unmeasured"]
        table.add_row(
            escape(one.name), f"{one.rows[0]:,} / {one.rows[1]:,}", percent(one.shape), percent(one.shape_floor),
            percent(one.trend_shared), percent(one.trend_floor), "" if one.detection is None else f"{one.detection:.3f}",
            ", ".join(verdicts) or "[dim]not measured[/dim]",
        )  # fmt: skip
        for gate in one.gates:
            if gate.verdict in ("warn", "fail"):
                lines.append(
                    f"[{STYLES[gate.verdict]}]{gate.verdict}[/] {escape(one.name)}: {gate.title}: {escape(gate.detail)}"
                )
        for column in _farthest(one.columns):
            lines.append(
                f"[dim]farthest[/dim] {escape(one.name)}.{escape(column.name)} ({escape(column.generator)}): "
                f"{percent(column.error)}, {percent(column.floor)} by chance"
            )
    lines += [f"[yellow]left out[/yellow] {escape(name)}: {escape(why)}" for name, why in report.left_out.items()]
    style = STYLES[report.verdict]
    said = {"pass": "no privacy gate failed", "warn": "no gate failed, some warn", "fail": "a privacy gate failed"}
    lines.append(f"[{style}]{said.get(report.verdict, 'no privacy gate could be measured')}[/]")
    return lines


def percent(share: float | None) -> str:
    """``1.2 %``; empty for what was not measured."""
    return "" if share is None else f"{100 * share:.1f} %"


def _farthest(columns: tuple[ColumnQuality, ...]) -> list[ColumnQuality]:
    """Columns that are clearly farther than chance, the farthest first."""
    found = [c for c in columns if c.error is not None and c.floor is not None and c.error > 2 * c.floor + 0.02]
    return sorted(found, key=lambda column: -(column.error or 0))[:FARTHEST]
