"""*Pipeline*: how much passes through every stage, and what holds it up."""

from __future__ import annotations

from dashboards.dashboard import Dashboard, Section
from dashboards.panels import RUN, RUN_STAGE, STAGE, Panel, Query

_BATCHES = "tailrace_batch_duration_seconds_bucket"


def _quantile(share: float) -> Query:
    inner = f"sum by (le, stage, step) (rate({_BATCHES}{{{RUN_STAGE}}}[$__rate_interval]))"
    return Query(f"histogram_quantile({share}, {inner})", f"p{share * 100:.0f} {{{{stage}}}} {{{{step}}}}")


FLOW = Section("Flow", (
    Panel(1, "Rows per second", "Rows that each stage has finished, and changes of continuous runs.", "timeseries", "rowsps",
          [Query(f"sum by (stage) (rate(tailrace_rows_total{{{RUN_STAGE}}}[$__rate_interval]))", "{{stage}}")], width=12,
          runbooks=["stalled-run"]),
    Panel(2, "Bytes per second", "Message bytes in and out of each stage.", "timeseries", "Bps",
          [Query(f"sum by (stage, direction) (rate(tailrace_bytes_total{{{RUN_STAGE}}}[$__rate_interval]))",
                 "{{stage}} {{direction}}")], width=12),
    Panel(3, "Batch latency", "Time per batch and step. A stage is as fast as its slowest step.", "timeseries", "s",
          [_quantile(0.5), _quantile(0.95), _quantile(0.99)], width=12, height=10),
    Panel(4, "Batches by outcome", "duplicate: it was in the ledger already, and nothing was done. discarded: of an attempt "
          "that is over.", "timeseries", "ops",
          [Query(f"sum by (outcome) (rate(tailrace_batches_total{{{RUN_STAGE}}}[$__rate_interval]))",
                                      "{{outcome}}")], width=12, height=10),
))  # fmt: skip

PRESSURE = Section("Pressure", (
    Panel(5, "Credit in use", "Bytes released and not yet in the destination, and how many may be. At the limit readers "
          "wait: that is the backpressure.", "timeseries", "bytes",
          [Query(f"max by (run) (tailrace_run_credit_used_bytes{{{RUN}}})", "used {{run}}"),
           Query(f"max by (run) (tailrace_run_credit_bytes{{{RUN}}})", "limit {{run}}")], runbooks=["credit-exhausted"]),
    Panel(6, "Lag", "Records of a stage's topics that its group has not committed; told by the leader.", "timeseries", "short",
          [Query(f"max by (run, stage) (tailrace_stage_lag_records{{{RUN_STAGE}}})", "{{stage}} {{run}}")],
          runbooks=["lag-growing"]),
    Panel(7, "Backpressure", "Seconds per second in which a stage waited for the next one.", "timeseries", "percentunit",
          [Query(f"sum by (stage) (rate(tailrace_backpressure_seconds_total{{{RUN_STAGE}}}[$__rate_interval]))", "{{stage}}")]),
    Panel(8, "Bytes in hand", "Of batches that a replica has taken and not finished.", "timeseries", "bytes",
          [Query(f"sum by (stage, instance) (tailrace_inflight_bytes{{{RUN_STAGE}}})", "{{stage}} {{instance}}")]),
    Panel(9, "Retries and failures", "Retries pass. A failure ends a run, or leaves a table of a continuous one in quarantine.",
          "timeseries", "short",
          [Query(f"sum by (stage) (increase(tailrace_retries_total{{{RUN_STAGE}}}[$__rate_interval]))", "retries {{stage}}"),
           Query(f"sum by (stage) (increase(tailrace_failures_total{{{RUN_STAGE}}}[$__rate_interval]))", "failures {{stage}}")],
          runbooks=["failed-run"]),
    Panel(10, "Since the last commit", "Seconds since a stage last made work durable.", "timeseries", "s",
          [Query(f"time() - (max by (stage) (tailrace_last_commit_timestamp_seconds{{{RUN_STAGE}}}) > 0)", "{{stage}}")],
          thresholds=((None, "green"), (600, "red")), runbooks=["stalled-run"]),
))  # fmt: skip

REPLICAS = Section("Replicas", (
    Panel(11, "Replicas", "Processes that are scraped.", "stat", "short",
          [Query(f"count by (stage) (tailrace_build_info{{{STAGE}}})", "{{stage}}")], width=8, height=6,
          thresholds=((None, "red"), (1, "green")), runbooks=["stage-missing", "writers-absent"]),
    Panel(12, "Broker", "Whether any replica of the stage reaches the broker.", "stat", "short",
          [Query(f"max by (stage) (tailrace_broker_up{{{STAGE}}})", "{{stage}}")], width=8, height=6,
          thresholds=((None, "red"), (1, "green")), values={"0": ("unreachable", "red"), "1": ("reached", "green")},
          runbooks=["broker-unreachable"]),
    Panel(13, "Starts within 15 minutes", "A replica that does not stay up. A roll-out counts one.", "stat", "short",
          [Query(f"max by (stage) (changes(tailrace_process_start_time_seconds{{{STAGE}}}[15m]))", "{{stage}}")], width=8, height=6,
          thresholds=((None, "green"), (1, "yellow"), (3, "red")), runbooks=["replica-restarts"]),
    Panel(14, "Memory per replica", "Resident memory.", "timeseries", "bytes",
          [Query(f"tailrace_process_resident_memory_bytes{{{STAGE}}}", "{{stage}} {{instance}}")], height=9,
          runbooks=["memory-near-limit"]),
    Panel(15, "Memory, share of the limit", "Of the control group's limit; 0 where there is none. At 100 % the kernel kills.",
          "timeseries", "percentunit",
          [Query(f"tailrace_process_resident_memory_bytes{{{STAGE}}} / tailrace_memory_limit_bytes{{{STAGE}}}",
                 "{{stage}} {{instance}}")], height=9, thresholds=((None, "green"), (0.85, "red")), most=1,
          runbooks=["memory-near-limit", "replica-killed-for-memory"]),
    Panel(16, "CPU per replica", "Cores in use.", "timeseries", "short",
          [Query(f"rate(tailrace_process_cpu_seconds_total{{{STAGE}}}[$__rate_interval])", "{{stage}} {{instance}}")], height=9,
          decimals=2),
    Panel(17, "Replicas lost", "When a replica that had not said goodbye was last missed. memory: it was about at its limit.",
          "table", "dateTimeFromNow",
          [Query(f"max by (run, stage, cause) (tailrace_run_replica_lost_timestamp_seconds{{{RUN_STAGE}}} > 0) * 1000", "lost")],
          width=12, height=6, least=None, runbooks=["replica-killed-for-memory"]),
    Panel(18, "Killed by the kernel", "Processes of a replica's control group that were killed for memory: a trainer's child, or "
          "neighbours.", "stat", "short", [Query(f"sum by (stage) (tailrace_oom_kills_total{{{STAGE}}})", "{{stage}}")], width=12,
          height=6, thresholds=((None, "green"), (1, "red")), runbooks=["replica-killed-for-memory"]),
))  # fmt: skip

PIPELINE = Dashboard(
    "pipeline",
    "Tailrace / Pipeline",
    "How much passes through every stage, and what holds it up.",
    (FLOW, PRESSURE, REPLICAS),
)
