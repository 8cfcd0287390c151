"""Every panel of every dashboard has data while real services carry a masked run and then follow its source; and a replica that
the kernel kills for memory is named as such. ``make test-dashboards``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from dashboards.catalogue import DASHBOARDS

from support.databases import Pair
from support.following import caught_up, let_follow, streaming
from support.installation import Installation, eventually
from support.memory_group import limited_group
from support.monitoring import asked
from support.prometheus import Prometheus, exporter
from tailrace.embedded.runtime import Runtime
from tailrace_shared.messages import RunRecord, StopRequested

pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]

NO_LEARNING = (
    "learning needs torch, which `make test` goes without; `make test-synthesis` looks at the trainer's series"
)
WITHOUT_DATA: Final[dict[tuple[str, str], str]] = {
    ("run", "Models by state"): NO_LEARNING,
    ("run", "Held-out loss"): NO_LEARNING,
    ("run", "Learning"): NO_LEARNING,
    ("run", "Rows drawn again"): NO_LEARNING,
}
"""(dashboard, panel) to why its queries may have no data here."""


@dataclass
class Watched:
    """What a Prometheus has seen of an installation."""

    prometheus: Prometheus
    installation: Installation
    runs: list[str] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)
    """Alerts that were pending or firing before anything was broken."""


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str
) -> Iterator[Watched]:
    """A masked run, then a continuous one with changes, a comparison's worth of time, and a replica that is killed."""
    pair = new_shop("boards", 12_000)
    let_follow(pair)
    pair.source.run_sql("ALTER SYSTEM SET max_slot_wal_keep_size = '2GB'", pair.name)
    pair.source.run_sql("SELECT pg_reload_conf()", pair.name)
    job = shop_job.replace('url: "${DESTINATION_URL}"}', 'url: "${DESTINATION_URL}", mode: truncate}')
    try:
        with (
            Installation(runtime, pair, replicas={"generator": 2, "trainer": 1}) as installation,
            Prometheus(tmp_path_factory.mktemp("prometheus")) as prometheus,
            ExitStack() as stack,
        ):
            seen = Watched(prometheus, installation)
            prometheus.scrape(installation.group.all())
            once = installation.submit(job)
            seen.runs.append(once)
            assert installation.wait(once).state == "done"
            following = installation.submit(job.replace("version: 1\n", "version: 1\nmode: continuous\n"))
            seen.runs.append(following)
            streaming(installation, following)
            for number in range(12):
                pair.source.run_sql(
                    f"UPDATE customer SET note = 'change {number}' WHERE customer_id % 3 = 0", pair.name
                )
                time.sleep(1)
            caught_up(pair)
            figures = measured(installation, pair, job, tmp_path_factory.mktemp("quality"))
            port = stack.enter_context(exporter(figures))
            prometheus.scrape(installation.group.all(), port)
            eventually(
                lambda: prometheus.now("tailrace_quality_timestamp_seconds"), 30, "figures of quality are scraped"
            )
            seen.quiet = [r["name"] for r in prometheus.rules() if r["type"] == "alerting" and r["state"] != "inactive"]
            victim = installation.group.replicas("generator")[1]
            victim.kill()
            installation.wait(following, lambda record: bool(record.lost), 60)
            time.sleep(3)
            yield seen
            installation.tell(StopRequested(run=following))
            installation.wait(following, seconds=60)
    finally:
        pair.source.run_sql("ALTER SYSTEM RESET max_slot_wal_keep_size", pair.name)
        pair.source.run_sql("SELECT pg_reload_conf()", pair.name)


def measured(installation: Installation, pair: Pair, job: str, folder: Path) -> Path:
    """What ``tailrace quality`` writes of the pair."""
    (folder / "job.yaml").write_text(job)
    transport, mask, canary = installation.secrets_given
    subprocess.run(
        [sys.executable, "-m", "tailrace", "quality", "job.yaml", "--rows", "500", "--metrics", "figures.prom"],
        cwd=folder,
        env={
            **os.environ,
            **installation.runtime.kafka_settings,
            "TAILRACE_NAMESPACE": installation.namespace,
            "SOURCE_URL": pair.source_url,
            "DESTINATION_URL": pair.destination_url,
            "TAILRACE_TRANSPORT_KEY": transport,
            "TAILRACE_MASK_SECRET": mask,
            "SHOP_CANARIES": canary,
        },
        timeout=120,
        check=True,
    )
    return folder / "figures.prom"


def test_every_panel_has_data_and_its_legend_the_labels_that_it_names(watched: Watched) -> None:
    namespace, runs = watched.installation.namespace, "|".join(watched.runs)
    without, unnamed, excused = [], [], set[tuple[str, str]]()
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                found = watched.prometheus.since_start(asked(query.expr, namespace, runs))
                samples = [value for series in found for _, value in series["values"] if value != "NaN"]
                if not samples:
                    if (dashboard.name, panel.title) in WITHOUT_DATA:
                        excused.add((dashboard.name, panel.title))
                    else:
                        without.append(f"{dashboard.title}: {panel.title}: {query.expr}")
                    continue
                wanted = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
                if not all(wanted <= series["metric"].keys() for series in found):
                    unnamed.append(f"{dashboard.title}: {panel.title}: {query.legend}")
    assert without == [], "panels without data"
    assert unnamed == [], "legends that name labels which the series lack"
    assert excused == set(WITHOUT_DATA), "an excuse that is not needed"


def test_variables_offer_what_there_is(watched: Watched) -> None:
    values = watched.prometheus.label_values
    own = f'{{tailrace_namespace="{watched.installation.namespace}"}}'
    assert values("tailrace_build_info", "tailrace_namespace") == [watched.installation.namespace]
    assert set(values(f"tailrace_run_info{own}", "run")) == set(watched.runs)
    assert values(f"tailrace_build_info{own}", "stage") == ["generator", "reader", "trainer", "writer"]


def test_rules_are_evaluated_and_a_healthy_installation_alarms_nobody(watched: Watched) -> None:
    assert [rule["name"] for rule in watched.prometheus.rules() if rule["health"] != "ok"] == []
    assert watched.quiet == []


def test_a_replica_that_was_killed_is_lost_and_one_that_was_scaled_down_is_not(watched: Watched) -> None:
    record = watched.installation.wait(watched.runs[1], lambda record: bool(record.lost), 30)
    assert [(loss.service, loss.cause) for loss in record.lost] == [("generator", "unknown")], "it had no limit"
    watched.installation.scale("reader", 2)
    watched.installation.scale("reader", 1)
    time.sleep(6)  # longer than a silence that counts
    assert len(newest(watched).lost) == 1


def test_a_replica_that_the_kernel_kills_for_memory_is_named_as_such(watched: Watched) -> None:
    installation = watched.installation
    with limited_group() as group:
        with group.born_inside():
            victim = installation.scale("generator", len(installation.group.replicas("generator")) + 1)[-1]
        try:
            group.limit(int(victim.resident_bytes * 1.04))
            time.sleep(2)  # heartbeats say how near it is
            eater = group.eat()
            try:
                eventually(lambda: not victim.alive, 30, "the kernel kills it")
            finally:
                eater.kill()
                eater.wait()
            assert victim.exit_status == -signal.SIGKILL

            def named(record: RunRecord) -> bool:
                return any(loss.cause == "memory" for loss in record.lost)

            record = installation.wait(watched.runs[1], named, 60)
            (loss,) = [loss for loss in record.lost if loss.cause == "memory"]
            assert loss.service == "generator"
            assert loss.memory_bytes <= 1.1 * loss.memory_limit
            alert = 'ALERTS{alertname="TailraceReplicaKilledForMemory", stage="generator", alertstate="firing"}'
            eventually(lambda: watched.prometheus.now(alert), 30, "the alert fires")
        finally:
            victim.kill()


def newest(watched: Watched) -> RunRecord:
    return watched.installation.records(watched.runs[1])[-1]
