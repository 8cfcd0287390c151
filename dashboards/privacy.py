"""*Privacy*: what became of every column, and whether anything arrived that should not have."""

from __future__ import annotations

from dashboards.dashboard import Dashboard, Section
from dashboards.panels import RUN, Panel, Query


def _checks(result: str, kind: str) -> str:
    return f'sum by (run) (max by (run, kind) (tailrace_run_checks{{{RUN}, result="{result}", kind=~"{kind}"}}))'


def _results(title: str, text: str, number: int, kind: str, *pages: str) -> Panel:
    return Panel(number, title, text, "bargauge", "short",
                 [Query(_checks("failed", kind), "do not hold {{run}}"), Query(_checks("passed", kind), "hold {{run}}")],
                 runbooks=pages, thresholds=((None, "blue"),))  # fmt: skip


COLUMNS = Section("Columns", (
    Panel(1, "Columns by protection", "masked, mocked: another value of the same kind. key: a keyed permutation. made, "
          "learned: rows that no source had. duplicated: as in the source.", "bargauge", "short",
          [Query(f"sum by (protection) (max by (run, protection) (tailrace_run_columns{{{RUN}}}))", "{{protection}}")], width=12,
          height=9, thresholds=((None, "blue"),)),
    Panel(2, "Columns that may be personal and arrive as they are", "By name and type; somebody should have looked at each. "
          "`tailrace plan` lists them.", "stat", "short",
          [Query(f"max by (run) (tailrace_run_unprotected_columns{{{RUN}}})", "{{run}}")], width=12, height=9,
          thresholds=((None, "green"), (1, "orange")), runbooks=["leak-found"]),
))  # fmt: skip

SCANS = Section("What was found in the destination", (
    Panel(3, "Leaks and canaries", "Columns in which more original values were found than chance explains, and canaries that "
          "arrived.", "stat", "short",
          [Query(_checks("failed", "leak|canaries"), "{{run}}")], thresholds=((None, "green"), (1, "red")),
          runbooks=["leak-found"]),
    _results("Leak scan", "One line per masked column.", 4, "leak", "leak-found"),
    _results("Canaries", "One line per table.", 5, "canaries", "leak-found"),
    _results("Verification", "All other checks of the end of a run.", 6, "rows|foreign key|unique|exclusion|not null|check|"
             "sequence|structure|catalogue|made|table|other", "verification-failed"),
    _results("Comparison with the source", "Of `verify --live`: one line per table of a continuous run.", 7, "live",
             "verification-failed"),
    Panel(8, "Warnings of the plan", "What somebody should know; `tailrace plan` lists them.", "stat", "short",
          [Query(f"max by (run) (tailrace_run_warnings{{{RUN}}})", "{{run}}")], thresholds=((None, "green"), (1, "yellow"))),
))  # fmt: skip

QUALITY = Section("Quality of masked and learned tables", (
    Panel(9, "Distance of distributions", "Of single columns and of pairs, between source and destination; the second series of "
          "each is what chance alone makes of two samples. Written by `tailrace quality --metrics`; of all installations.",
          "timeseries",
          "percentunit",
          [Query("max by (table) (tailrace_quality_shape_error_ratio)", "columns {{table}}"),
           Query("max by (table) (tailrace_quality_shape_chance_ratio)", "columns, chance {{table}}"),
           Query("max by (table) (tailrace_quality_trend_error_ratio)", "pairs {{table}}"),
           Query("max by (table) (tailrace_quality_trend_chance_ratio)", "pairs, chance {{table}}")]),
    Panel(10, "Privacy gates", "Of `tailrace quality`: whether rows give away whom they come from.", "table", "short",
          [Query("max by (table, gate) (tailrace_quality_gate)", "verdict")],
          values={"0": ("passed", "green"), "1": ("warns", "yellow"), "2": ("failed", "red")}),
    Panel(11, "Age of the figures", "Since `tailrace quality` last wrote them.", "stat", "s",
          [Query("time() - max(tailrace_quality_timestamp_seconds)", "age")]),
))  # fmt: skip

PRIVACY = Dashboard(
    "privacy",
    "Tailrace / Privacy",
    "What became of every column, and whether anything arrived that should not have.",
    (COLUMNS, SCANS, QUALITY),
    span="now-6h",
)
