"""What ops see: health, metrics at zero from the start, logs with ids, one correlation id through all hops."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.databases import Pair
from support.installation import Installation, eventually, log_files
from tailrace_shared import topics
from tailrace_shared.batch import head_of


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Pair:
    return new_shop("observed", 4000)


def read(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def value(text: str, name: str, **labels: str) -> float | None:
    """The first sample of that name with these labels, whatever others it has; None where there is none."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_a_run_is_seen_in_metrics_health_logs_and_headers(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    installation = install(shop)
    for replica in installation.group.all():
        assert read(replica.port, "/health/live") == "live"
        assert read(replica.port, "/health/ready") == "ready"
        assert value(read(replica.port, "/metrics"), "tailrace_runs") == 0
        assert value(read(replica.port, "/metrics"), "tailrace_broker_up") == 1
        assert '"asyncapi"' in read(replica.port, "/docs.json")

    run = installation.submit(shop_job)
    installation.wait(run, lambda record: record.state == "loading")
    seen = asyncio.run(heads(installation, run))
    metrics = {r.name: read(r.port, "/metrics") for r in installation.group.all()}
    record = installation.wait(run)
    assert record.state == "done", record.failure

    assert {head.correlation for head in seen} == {run}
    assert {head.kind for head in seen} == {"raw", "masked"}
    for text in metrics.values():
        for series in ("rows_total", "inflight_bytes", "retries_total", "failures_total", "backpressure_seconds_total"):
            assert value(text, f"tailrace_{series}", run=run) is not None
        assert value(text, "tailrace_batches_total", outcome="failed", run=run) == 0
        assert value(text, "tailrace_rows_total", run=run, tailrace_namespace=installation.namespace) is not None
    (writer,) = [text for name, text in metrics.items() if name.startswith("writer")]
    assert value(writer, "tailrace_run_state", run=run, state="loading") == 1
    assert value(writer, "tailrace_stage_lag_records", run=run, stage="generator") is not None
    assert value(writer, "tailrace_run_credit_bytes", run=run) == 4 << 20
    assert value(writer, "tailrace_run_table_rows", run=run, table="public.customer", rows="expected") == 4000

    for replica in installation.group.all():

        def instruments(port: int = replica.port) -> float | None:
            return value(read(port, "/metrics"), "tailrace_rows_total", run=run)

        eventually(lambda: instruments() is None, 30, "a finished run's instruments are gone")
    (writer_now,) = installation.group.replicas("writer")
    told = read(writer_now.port, "/metrics")
    assert value(told, "tailrace_run_outcome", run=run, outcome="done") == 1, "what came of it stays for an hour"
    assert value(told, "tailrace_run_checks", run=run, kind="leak", result="failed") == 0
    assert value(told, "tailrace_run_checks", run=run, kind="rows", result="passed") == len(record.tables)
    assert value(told, "tailrace_run_columns", run=run, protection="key") == record.protection["key"] > 0
    assert record.lost == (), "nobody was lost"
    for file in log_files(installation):
        for line in file.read_text().splitlines():
            event = json.loads(line)
            assert {"event", "level", "timestamp"} <= event.keys()


async def heads(installation: Installation, run: str) -> list:  # type: ignore[type-arg]
    """Heads of the batches that are on the run's topics while it loads."""
    names = [topics.of_run(installation.namespace, run, "raw"), topics.of_run(installation.namespace, run, "masked")]
    consumer = installation.kafka.consumer(*names, group=None)
    await consumer.start()
    found = []
    try:
        await consumer.seek_to_beginning()
        async with asyncio.timeout(20):
            while {head.kind for head in found} != {"raw", "masked"}:
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    found += [head_of(message.headers) for message in messages]
    finally:
        await consumer.stop()
    return found


def test_a_stopped_pump_is_seen_by_the_liveness_probe(install: Callable[..., Installation], shop: Pair) -> None:
    installation = install(shop, replicas={"reader": 0, "generator": 1, "writer": 0})
    (replica,) = installation.group.replicas("generator")
    assert replica.probe("/health/live") == 200
    replica.suspend()
    try:
        assert replica.probe("/health/live") != 200, "a stopped process does not answer"
    finally:
        replica.resume()
    eventually(lambda: replica.probe("/health/live") == 200, 10, "it lives again")
