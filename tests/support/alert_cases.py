"""What makes every alert fire, and what very nearly does and must not. Series are as services tell them, one sample a minute.

A value is written as promtool has it: ``0x30`` is thirty-one zeros, ``0+5x30`` grows by five a minute, ``_`` is no sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MB = 1 << 20
INFINITE = "Inf " * 20
RUN = 'tailrace_namespace="t",run="R"'
LANE = f'{RUN},lane="0"'


class Case(NamedTuple):
    """Series, and what fires ``minutes`` after the start: one alert, or none."""

    alert: str
    about: str
    series: dict[str, str]
    minutes: int
    fires: bool


def series(name: str, values: str, labels: str = RUN, **more: str) -> dict[str, str]:
    """One input series."""
    given = ",".join([labels, *(f'{key}="{value}"' for key, value in more.items())])
    return {f"{name}{{{given}}}": values}


def state(name: str, minutes: int = 120, since: int = 0) -> dict[str, str]:
    """The leader says that the run is in this state; another writer, which does not lead, says 0."""
    return series("tailrace_run_state", f"{'0 ' * since}1x{minutes}", instance="w1", state=name) | series(
        "tailrace_run_state", f"0x{minutes}", instance="w2", state=name
    )


def rows(values: str) -> dict[str, str]:
    return series("tailrace_rows_total", values, stage="writer", instance="w1")


def replicas(values: str) -> dict[str, str]:
    return series("tailrace_run_replicas", values, stage="generator", instance="w1")


def ended_pod(reason: str, restarts: str, teller: str = "kube-state-metrics") -> dict[str, str]:
    """What Kubernetes' own exporter says of a replica's container, and what the replica says of itself."""
    pod = 'namespace="prod",pod="tailrace-generator-1",container="generator"'
    told = f'{pod},instance="{teller}"'
    return (
        series("kube_pod_container_status_last_terminated_reason", "1x60", told, reason=reason)
        | series("kube_pod_container_status_restarts_total", restarts, told)
        | series("tailrace_memory_limit_bytes", "4e8x60", pod, tailrace_namespace="t", stage="generator", instance="g1")
    )


def lag(values: str) -> dict[str, str]:
    """A reader tells the lag; a writer that does not lead tells 0."""
    return series("tailrace_lane_lag_seconds", values, LANE, stage="reader") | series(
        "tailrace_lane_lag_seconds", "0x500", LANE, stage="writer"
    )


def checks(kind: str, failed: int) -> dict[str, str]:
    return series("tailrace_run_checks", f"{failed}x10", kind=kind, result="failed") | series(
        "tailrace_run_checks", "7x10", kind=kind, result="passed"
    )


def slot(safe: str, retained: str) -> dict[str, str]:
    """The reader that captures, and one that stands by."""
    return (
        series("tailrace_slot_safe_bytes", safe, LANE, instance="r1")
        | series("tailrace_slot_safe_bytes", INFINITE, LANE, instance="r2")
        | series("tailrace_slot_retained_bytes", retained, LANE, instance="r1")
        | series("tailrace_slot_retained_bytes", "0x20", LANE, instance="r2")
    )


def held(size: int, *, back: int = 0) -> dict[str, str]:
    """Of a budget of 100 MB."""
    return (
        series("tailrace_changes_held_bytes", f"{size * MB}x20", LANE)
        | series("tailrace_changes_budget_bytes", f"{100 * MB}x20", LANE)
        | series("tailrace_capture_held_back", f"{back}x20", LANE)
    )


def memory(used: int) -> dict[str, str]:
    """Of a limit of 256 MB."""
    labels = 'tailrace_namespace="t",stage="generator",instance="g1"'
    return series("tailrace_process_resident_memory_bytes", f"{used * MB}x20", labels) | series(
        "tailrace_memory_limit_bytes", f"{256 * MB}x20", labels
    )


def credit(used: int) -> dict[str, str]:
    return series("tailrace_run_credit_used_bytes", f"{used}x60") | series("tailrace_run_credit_bytes", "100x60")


GENERATOR = 'tailrace_namespace="t",stage="generator",instance="g1"'
LOST = "tailrace_run_replica_lost_timestamp_seconds"
ENDED = series("tailrace_run_outcome", "1x60", outcome="done")

CASES: Sequence[Case] = (
    Case("TailraceRunStalled", "no row arrives", state("loading") | rows("500x60"), 20, True),
    Case("TailraceRunStalled", "rows arrive slowly", state("loading") | rows("0+1x60"), 20, False),
    Case("TailraceRunStalled", "an index is built", state("finishing") | rows("500x60"), 20, False),
    Case("TailraceRunStalled", "it has only just stopped", state("loading") | rows("0+9x13 117x20"), 18, False),
    Case("TailraceRunStalled", "a model is learned, and nothing else is left",
         state("loading") | rows("500x60") | series("tailrace_run_models", "1x60", state="learning"), 20, False),
    Case("TailraceRunStalled", "all models are there",
         state("loading") | rows("500x60") | series("tailrace_run_models", "0x60", state="learning"), 20, True),
    Case("TailraceRunLeaderless", "no news, no leader",
         series("tailrace_run_told_timestamp_seconds", "60x60") | series("tailrace_run_leader", "0x60"), 20, True),
    Case("TailraceRunLeaderless", "nothing changes, but it is led",
         series("tailrace_run_told_timestamp_seconds", "60x60") | series("tailrace_run_leader", "1x60"), 20, False),
    Case("TailraceRunLeaderless", "it is over", series("tailrace_run_told_timestamp_seconds", "60x60") | ENDED, 20, False),
    Case("TailraceWritersAbsent", "no writer is scraped",
         {'tailrace_build_info{service="writer"}': "1x5 _x60", 'tailrace_build_info{service="reader"}': "1x60"}, 20, True),
    Case("TailraceWritersAbsent", "one of two is left",
         {'tailrace_build_info{service="writer",instance="1"}': "1x5 _x60",
          'tailrace_build_info{service="writer",instance="2"}': "1x60"}, 20, False),
    Case("TailraceModelWaits", "there is no trainer", series("tailrace_run_models", "2x20", state="waiting"), 15, True),
    Case("TailraceModelWaits", "it is being learned", series("tailrace_run_models", "0x20", state="waiting")
         | series("tailrace_run_models", "2x20", state="learning"), 15, False),
    Case("TailraceRunPaused", "for more than an hour", state("paused"), 65, True),
    Case("TailraceRunPaused", "for less", state("paused"), 50, False),
    Case("TailraceRunFailed", "it has failed", series("tailrace_run_outcome", "1x9", outcome="failed"), 2, True),
    Case("TailraceRunFailed", "somebody has cancelled it", series("tailrace_run_outcome", "0x9", outcome="failed")
         | series("tailrace_run_outcome", "1x9", outcome="cancelled"), 2, False),
    Case("TailraceVerificationFailed", "a foreign key does not hold", checks("foreign key", 1), 2, True),
    Case("TailraceVerificationFailed", "all hold", checks("foreign key", 0), 2, False),
    Case("TailraceVerificationFailed", "a leak has an alert of its own", checks("leak", 1), 2, False),
    Case("TailraceLeakFound", "the scan has found values", checks("leak", 2), 2, True),
    Case("TailraceLeakFound", "a canary has arrived", checks("canaries", 1), 2, True),
    Case("TailraceLeakFound", "nothing is found", checks("leak", 0) | checks("rows", 1), 2, False),
    Case("TailraceCreditExhausted", "for a quarter of an hour", state("loading") | credit(100), 20, True),
    Case("TailraceCreditExhausted", "a little is left", state("loading") | credit(90), 20, False),
    Case("TailraceCreditExhausted", "not for long", state("loading") | credit(100), 10, False),
    Case("TailraceLagGrowing", "records pile up", state("streaming")
         | series("tailrace_stage_lag_records", "0+10x60", stage="generator"), 40, True),
    Case("TailraceLagGrowing", "there are many, and they become fewer", state("streaming")
         | series("tailrace_stage_lag_records", "900-10x60", stage="generator"), 40, False),
    Case("TailraceLagGrowing", "a load has its credit in flight", state("loading")
         | series("tailrace_stage_lag_records", "0+10x60", stage="generator"), 40, False),
    Case("TailraceReplicaRestarts", "three starts in a quarter of an hour",
         series("tailrace_process_start_time_seconds", "1 1 200 200 400 400 600 600 600", GENERATOR), 8, True),
    Case("TailraceReplicaRestarts", "a roll-out", series("tailrace_process_start_time_seconds", "1 1 200x9", GENERATOR), 8, False),
    Case("TailraceReplicaKilledForMemory", "it was near its limit and fell silent",
         series(LOST, "0 0 120x60", stage="generator", cause="memory"), 10, True),
    Case("TailraceReplicaKilledForMemory", "the kernel has counted",
         series("tailrace_oom_kills_total", "0 0 1x60", GENERATOR), 10, True),
    Case("TailraceReplicaKilledForMemory", "half an hour later",
         series(LOST, "0 0 120x60", stage="generator", cause="memory"), 40, False),
    Case("TailraceReplicaKilledForMemory", "Kubernetes says so, within a heartbeat", ended_pod("OOMKilled", "0 0 1x60"), 10, True),
    Case("TailraceReplicaKilledForMemory", "two who tell of Kubernetes", ended_pod("OOMKilled", "0 0 1x60")
         | ended_pod("OOMKilled", "0 0 1x60", teller="other"), 10, True),
    Case("TailraceReplicaKilledForMemory", "Kubernetes said so yesterday", ended_pod("OOMKilled", "1x60"), 10, False),
    Case("TailraceReplicaKilledForMemory", "a pod that has ended otherwise", ended_pod("Error", "0 0 1x60"), 10, False),
    Case("TailraceReplicaKilledForMemory", "a pod of somebody else", {
        name: values for name, values in ended_pod("OOMKilled", "0 0 1x60").items() if not name.startswith("tailrace")}, 10, False),
    Case("TailraceReplicaKilledForMemory", "lost for another reason",
         series(LOST, "0 0 120x60", stage="generator", cause="unknown") | series(LOST, "0x60", stage="generator", cause="memory"),
         31, False),
    Case("TailraceMemoryNearLimit", "nine tenths of it", memory(232), 10, True),
    Case("TailraceMemoryNearLimit", "three quarters of it", memory(192), 10, False),
    Case("TailraceMemoryNearLimit", "there is no limit",
         memory(232) | series("tailrace_memory_limit_bytes", INFINITE, GENERATOR), 10, False),
    Case("TailraceBrokerUnreachable", "no replica reaches it", series("tailrace_broker_up", "1 0x20", GENERATOR), 10, True),
    Case("TailraceBrokerUnreachable", "one of two does", series("tailrace_broker_up", "0x20", GENERATOR)
         | series("tailrace_broker_up", "1x20", GENERATOR.replace("g1", "g2")), 10, False),
    Case("TailraceBrokerUnreachable", "a moment", series("tailrace_broker_up", "1 0 1x20", GENERATOR), 3, False),
    Case("TailraceStageMissing", "nobody masks", replicas("0x60"), 10, True),
    Case("TailraceStageMissing", "somebody does", replicas("1x60"), 10, False),
    Case("TailraceStageMissing", "the run is over", replicas("0x60") | ENDED, 10, False),
    Case("TailraceStageMissing", "it is queued", replicas("0x60") | series("tailrace_run_queued", "1x60"), 10, False),
    Case("TailraceFreshnessBurnFast", "a quarter of an hour behind", state("streaming", 500) | lag("1x60 90x15"), 75, True),
    Case("TailraceFreshnessBurnFast", "five minutes behind", state("streaming", 500) | lag("1x60 90x5"), 65, False),
    Case("TailraceFreshnessBurnFast", "it is over since ten minutes", state("streaming", 500) | lag("1x60 90x15 1x10"), 85, False),
    Case("TailraceFreshnessBurnFast", "somebody has paused it", state("paused", 500) | lag("1x60 90x15"), 75, False),
    Case("TailraceFreshnessBurnSlow", "five minutes of every hour",
         state("streaming", 500) | lag("1x25 90x4 " * 12), 320, True),
    Case("TailraceFreshnessBurnSlow", "a minute of every hour", state("streaming", 500) | lag("1x58 90 " * 6), 350, False),
    Case("TailraceSlotAtRisk", "a fifth of its room is left", slot(f"{20 * MB}x20", f"{80 * MB}x20"), 5, True),
    Case("TailraceSlotAtRisk", "half of it", slot(f"{50 * MB}x20", f"{50 * MB}x20"), 5, False),
    Case("TailraceSlotAtRisk", "the source has set no limit", slot(INFINITE, f"{80 * MB}x20"), 5, False),
    Case("TailraceSlotAtRisk", "the source says so", series("tailrace_slot_status", "1x20", LANE, status="unreserved"), 5, True),
    Case("TailraceSlotUnwatched", "no reader captures", state("streaming") | series("tailrace_capture_active", "0x60"), 10, True),
    Case("TailraceSlotUnwatched", "no reader says anything", state("paused"), 10, True),
    Case("TailraceSlotUnwatched", "one of two captures", state("streaming")
         | series("tailrace_capture_active", "0x60", instance="r1")
         | series("tailrace_capture_active", "1x60", instance="r2"), 10, False),
    Case("TailraceChangesBudget", "nine tenths are spent", held(90), 5, True),
    Case("TailraceChangesBudget", "the capture stands", held(10, back=1), 5, True),
    Case("TailraceChangesBudget", "half is spent", held(50), 5, False),
    Case("TailraceTableQuarantined", "one for ten minutes", series("tailrace_quarantined_tables", "1x20"), 10, True),
    Case("TailraceTableQuarantined", "one was, and is back", series("tailrace_quarantined_tables", "1x3 0x20"), 10, False),
)  # fmt: skip
