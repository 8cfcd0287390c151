"""*Continuous*: how fresh the destination is, and how much room there is on the way."""

from __future__ import annotations

from dashboards.dashboard import Dashboard, Section
from dashboards.panels import RUN, Panel, Query

_LANE = "run, lane"
FRESH_S = 60
"""What counts as fresh; the recording rules have the same number."""


def _most(metric: str) -> str:
    return f"max by ({_LANE}) ({metric}{{{RUN}}})"


def _stalest(metric: str) -> str:
    return f"topk(10, max by ({_LANE}, table) ({metric}{{{RUN}}}))"


FRESHNESS = Section("Freshness", (
    Panel(1, "Lag in seconds", "Since the oldest change that the destination lacks was committed in the source.", "timeseries", "s",
          [Query(_most("tailrace_lane_lag_seconds"), "{{run}} lane {{lane}}")], width=12,
          thresholds=((None, "green"), (FRESH_S, "red")), runbooks=["freshness-burn", "lag-growing"]),
    Panel(2, "Lag in bytes", "WAL between what the destination holds and the source's end.", "timeseries", "bytes",
          [Query(_most("tailrace_lane_lag_bytes"), "{{run}} lane {{lane}}")], width=12),
    Panel(3, "Fresh", f"Share of the last hour in which the lag was at most {FRESH_S} s. The objective is 99 % of 30 days.", "stat",
          "percentunit", [Query(f"1 - max by ({_LANE}) (tailrace:lane_stale:avg1h{{{RUN}}})", "{{run}} lane {{lane}}")], width=8,
          thresholds=((None, "red"), (0.856, "orange"), (0.99, "green")), most=1, runbooks=["freshness-burn"]),
    Panel(4, "Changes per second", "By stage: captured, masked, applied.", "timeseries", "ops",
          [Query(f"sum by (run, stage) (rate(tailrace_changes_total{{{RUN}}}[$__rate_interval]))", "{{stage}} {{run}}")], width=8),
    Panel(5, "Records that wait", "On a stage's topics.", "timeseries", "short",
          [Query(f"max by (run, stage) (tailrace_stage_lag_records{{{RUN}}})", "{{stage}} {{run}}")], width=8,
          runbooks=["lag-growing"]),
    Panel(14, "Lag in seconds per table", "The ten tables that are most behind. A table in quarantine stays where it was.",
          "timeseries", "s", [Query(_stalest("tailrace_table_lag_seconds"), "{{table}} {{run}}")], width=12,
          thresholds=((None, "green"), (FRESH_S, "red")), runbooks=["freshness-burn", "table-quarantined"]),
    Panel(15, "Lag in bytes per table", "WAL between what the destination holds of a table and the source's end.", "timeseries",
          "bytes", [Query(_stalest("tailrace_table_lag_bytes"), "{{table}} {{run}}")], width=12),
))  # fmt: skip

SLOT = Section("The source's slot", (
    Panel(6, "Status", "As the source sees it. unreserved: about to be lost.", "table", "short",
          [Query(f"max by (run, lane, status) (tailrace_slot_status{{{RUN}}} == 1)", "now")], width=8, runbooks=["slot-at-risk"]),
    Panel(7, "Retained WAL and its limit", "What the source keeps for the slot, and how much it may be; no limit line: the "
          "source has set none (max_slot_wal_keep_size).", "timeseries", "bytes",
          [Query(_most("tailrace_slot_retained_bytes"), "retained {{run}}"),
           Query(f"{_most('tailrace_slot_retained_bytes')} + (min by ({_LANE}) (tailrace_slot_safe_bytes{{{RUN}}}) < +Inf)",
                 "limit {{run}}")], width=8, runbooks=["slot-at-risk"]),
    Panel(8, "Captured by", "Readers that capture: one per lane.", "stat", "short",
          [Query(f"sum by ({_LANE}) (tailrace_capture_active{{{RUN}}})", "{{run}} lane {{lane}}")], width=8,
          thresholds=((None, "red"), (1, "green")), runbooks=["slot-unwatched"]),
))  # fmt: skip

ROOM = Section("Room and tables", (
    Panel(9, "Changes held on Kafka and their budget", "What the destination has not taken, and disk_bytes.", "timeseries", "bytes",
          [Query(_most("tailrace_changes_held_bytes"), "held {{run}}"),
           Query(_most("tailrace_changes_budget_bytes"), "budget {{run}}")],
          runbooks=["changes-budget"]),
    Panel(10, "Held back", "The budget is spent: the capture has stopped between two transactions.", "stat", "short",
          [Query(_most("tailrace_capture_held_back"), "{{run}} lane {{lane}}")], thresholds=((None, "green"), (1, "red")),
          values={"0": ("no", "green"), "1": ("yes", "red")}, runbooks=["changes-budget"]),
    Panel(11, "Tables in quarantine", "They do not follow their source; the others do.", "stat", "short",
          [Query(f"max by (run) (tailrace_quarantined_tables{{{RUN}}})", "{{run}}")], thresholds=((None, "green"), (1, "red")),
          runbooks=["table-quarantined"]),
    Panel(12, "Tables by state", "resync: a table is loaded again.", "timeseries", "short",
          [Query(f"sum by (run, state) (max by (run, state) (tailrace_run_tables{{{RUN}}}))", "{{state}} {{run}}")], width=12,
          stacked=True, runbooks=["table-quarantined"]),
    Panel(13, "Paused", "Somebody has, or a failure.", "stat", "short",
          [Query(f'max by (run) (tailrace_run_state{{{RUN}, state="paused"}})', "{{run}}")], width=12,
          thresholds=((None, "green"), (1, "orange")), values={"0": ("no", "green"), "1": ("yes", "orange")},
          runbooks=["paused-run"]),
))  # fmt: skip

CONTINUOUS = Dashboard(
    "continuous",
    "Tailrace / Continuous",
    "How fresh the destination is, and how much room there is on the way.",
    (FRESHNESS, SLOT, ROOM),
    span="now-6h",
)
