"""*Run*: where a run is, when it will be there, and whether what it has made holds."""

from __future__ import annotations

from dashboards.dashboard import Dashboard, Section
from dashboards.panels import RUN, Panel, Query

_ROWS = "tailrace_run_table_rows"


def _rows(kind: str, by: str = "run") -> str:
    return f'sum by ({by}) (max by (run, table) ({_ROWS}{{{RUN}, rows="{kind}"}}))'


STATES = {
    "submitted": 1, "planned": 2, "preparing": 3, "loading": 4, "finishing": 5, "streaming": 6, "paused": 7, "verifying": 8,
    "stopping": 9, "done": 10, "failed": 11, "cancelled": 12,
}  # fmt: skip
"""One number each, so that a timeline shows one line per run."""
_COLOURS = {
    "paused": "orange",
    "stopping": "orange",
    "failed": "red",
    "cancelled": "yellow",
    "done": "green",
    "streaming": "green",
}


def _state() -> str:
    parts = [
        f'max by (run) (tailrace_run_state{{{RUN}, state="{state}"}} == 1) * {number}'
        for state, number in STATES.items()
        if state not in ("done", "failed", "cancelled")
    ]
    ends = [
        f'max by (run) (tailrace_run_outcome{{{RUN}, outcome="{state}"}} == 1) * {STATES[state]}'
        for state in ("done", "failed", "cancelled")
    ]
    return " or ".join([*ends, *parts])


NOW = Section("Now", (
    Panel(1, "State", "Of each run, as its leader tells it; ended runs for an hour.", "state-timeline", "short",
          [Query(_state(), "{{run}}")], width=24, height=7, least=None,
          values={str(n): (s, _COLOURS.get(s, "blue")) for s, n in STATES.items()},  # type: ignore[misc]
          runbooks=["leaderless-run", "paused-run", "failed-run"]),
    Panel(2, "Runs", "What there is, and what it waits for.", "table", "short",
          [Query(f"max by (run, name, mode) (tailrace_run_info{{{RUN}}})", "known")], width=12, height=7),
    Panel(3, "Attempt", "Above 1: the run was begun anew, since its snapshot was lost or the source has rewritten a table.",
          "stat", "short",
          [Query(f"max by (run) (tailrace_run_attempt{{{RUN}}})", "{{run}}")], width=4, height=7,
          thresholds=((None, "green"), (2, "yellow"))),
    Panel(4, "Waits", "`tailrace status` says for what. Queued: more runs are active than may be.", "stat", "short",
          [Query(f"max by (run) (tailrace_run_waiting{{{RUN}}}) + max by (run) (tailrace_run_queued{{{RUN}}})", "{{run}}")],
          width=4, height=7, thresholds=((None, "green"), (1, "yellow")), values={"0": ("no", "green"), "1": ("yes", "yellow")},
          runbooks=["stage-missing"]),
    Panel(5, "Led", "Whether a writer says that it leads the run.", "stat", "short",
          [Query(f"max by (run) (tailrace_run_leader{{{RUN}}})", "{{run}}")], width=4, height=7,
          thresholds=((None, "red"), (1, "green")), values={"0": ("no", "red"), "1": ("yes", "green")},
          runbooks=["leaderless-run"]),
))  # fmt: skip

PROGRESS = Section("Progress", (
    Panel(6, "Loaded", "Share of the rows that the plan expects, by the statistics of the source: it may end beside 100 %.",
          "bargauge", "percentunit", [Query(f"{_rows('loaded')} / ({_rows('expected')} > 0)", "{{run}}")], width=8, most=1,
          thresholds=((None, "blue"), (0.999, "green"))),
    Panel(7, "Time left", "At the pace of the last five minutes.", "stat", "s",
          [Query(f"clamp_min({_rows('expected')} - {_rows('loaded')}, 0) / "
                 f'(sum by (run) (rate(tailrace_rows_total{{{RUN}, stage="writer"}}[5m])) > 0)', "{{run}}")], width=8,
          runbooks=["stalled-run"]),
    Panel(8, "Tables by state", "", "timeseries", "short",
          [Query(f"sum by (state) (max by (run, state) (tailrace_run_tables{{{RUN}}}))", "{{state}}")], width=8, stacked=True),
    Panel(9, "Progress per table", "Loaded share of the expected rows; the largest tables by name.", "bargauge", "percentunit",
          [Query(f"{_rows('loaded', 'run, table')} / ({_rows('expected', 'run, table')} > 0)", "{{table}}")], width=12, height=12,
          most=1, thresholds=((None, "blue"), (0.999, "green"))),
    Panel(10, "Rows per table", "Expected by statistics, read from the source, loaded into the destination.", "table", "short",
          [Query(_rows("expected", "run, table"), "expected"), Query(_rows("read", "run, table"), "read"),
           Query(_rows("loaded", "run, table"), "loaded")], width=12, height=12),
    Panel(11, "Rows per second", "By stage.", "timeseries", "rowsps",
          [Query(f"sum by (run, stage) (rate(tailrace_rows_total{{{RUN}}}[$__rate_interval]))", "{{stage}} {{run}}")], width=12),
    Panel(12, "Replicas", "That take part, by their heartbeats.", "timeseries", "short",
          [Query(f"max by (run, stage) (tailrace_run_replicas{{{RUN}}})", "{{stage}} {{run}}")], width=12, decimals=0,
          runbooks=["stage-missing"]),
))  # fmt: skip

VERIFIED = Section("Verification", (
    Panel(13, "Outcome", "Of ended runs, for an hour.", "stat", "short",
          [Query(f"max by (run, outcome) (tailrace_run_outcome{{{RUN}}} == 1)", "{{outcome}} {{run}}")], width=8, height=9,
          runbooks=["failed-run"]),
    Panel(14, "Checks that hold", "By kind.", "bargauge", "short",
          [Query(f'sum by (kind) (max by (run, kind) (tailrace_run_checks{{{RUN}, result="passed"}})) > 0', "{{kind}}")], width=8,
          height=9),
    Panel(15, "Checks that do not hold", "By kind; `tailrace report` names them.", "bargauge", "short",
          [Query(f'sum by (kind) (max by (run, kind) (tailrace_run_checks{{{RUN}, result="failed"}}))', "{{kind}}")], width=8,
          height=9, thresholds=((None, "green"), (1, "red")), runbooks=["verification-failed"]),
))  # fmt: skip

MODELS = Section("Models", (
    Panel(16, "Models by state", "Of tables that are learned. waiting: for a trainer.", "timeseries", "short",
          [Query(f"sum by (run, state) (max by (run, state) (tailrace_run_models{{{RUN}}}))", "{{state}} {{run}}")], stacked=True,
          runbooks=["model-waits"]),
    Panel(17, "Held-out loss", "Nats per row that was not learned from. Learning ends when it falls no more.", "timeseries",
          "short", [Query(f"max by (run, table) (tailrace_training_loss{{{RUN}}})", "{{table}}")], least=None, decimals=2),
    Panel(18, "Learning", "Epochs that are behind, and what it may still take, at most.", "table", "short",
          [Query(f"max by (run, table) (tailrace_training_epoch{{{RUN}}})", "epochs"),
           Query(f"max by (run, table) (tailrace_training_remaining_seconds{{{RUN}}})", "seconds left")]),
    Panel(19, "Rows drawn again", "Rows per second that broke a rule of the job's `draw`. Many: build the rule into the model.",
          "timeseries", "rowsps",
          [Query(f"sum by (run, table) (rate(tailrace_rejected_rows_total{{{RUN}}}[$__rate_interval]))", "{{table}}")]),
))  # fmt: skip

RUN_BOARD = Dashboard(
    "run",
    "Tailrace / Run",
    "Where a run is, when it will be there, and whether what it has made holds.",
    (NOW, PROGRESS, VERIFIED, MODELS),
)
