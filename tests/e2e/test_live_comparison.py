"""A destination that follows its source is compared with it while both go on: equal, or the table that differs is named."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from ulid import ULID

from e2e.test_command_continuous import Commands
from e2e.test_continuous import continuous
from support.databases import Pair
from support.following import let_follow, streaming
from support.installation import Installation, eventually
from tailrace_shared.messages import ComparisonProgress, ComparisonRequested, PauseRequested, RunRecord

pytestmark = pytest.mark.timeout(300)
TRAFFIC = """
INSERT INTO customer (first_name, last_name, email, born, note)
  SELECT 'New', 'Person', 'n.' || clock_timestamp() || '.' || random() || '@example.com', date '1990-01-01', repeat('n', 20);
UPDATE customer SET balance = balance + 1, note = 'changed ' || random() WHERE customer_id % 17 = (random() * 17)::int;
DELETE FROM shipment WHERE ctid IN (SELECT ctid FROM shipment LIMIT 1);
UPDATE product SET price = price + 1 WHERE sku IN (SELECT sku FROM product ORDER BY random() LIMIT 3);
"""


@contextmanager
def traffic(pair: Pair) -> Iterator[None]:
    """Changes to the source by two sessions, for as long as the block lasts."""
    stop = threading.Event()

    async def change() -> None:
        connection = await asyncpg.connect(pair.source_url)
        try:
            while not stop.is_set():
                for statement in TRAFFIC.strip().split(";\n"):
                    await connection.execute(statement.rstrip(";"))
                    await asyncio.sleep(0.02)
        finally:
            await connection.close()

    threads = [threading.Thread(target=lambda: asyncio.run(change())) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def compared(installation: Installation, run: str, *tables: str, seconds: float = 60) -> ComparisonProgress:
    asked = str(ULID())
    installation.tell(ComparisonRequested(run=run, id=asked, tables=tables))

    def over(record: RunRecord) -> bool:
        made = record.comparison
        return made is not None and made.id == asked and made.state in ("done", "failed", "refused")

    found = installation.wait(run, over, seconds).comparison
    assert found is not None
    return found


def test_a_destination_that_follows_is_equal_under_traffic_and_a_row_changed_behind_our_back_is_found(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path
) -> None:
    pair = new_shop("comparing", 400)
    let_follow(pair)
    installation = install(pair)
    run = installation.submit(continuous(shop_job))
    streaming(installation, run)
    with traffic(pair):
        first = compared(installation, run)
        assert first.state == "done", first.why
        assert [check.name for check in first.checks if not check.passed] == []
        assert {check.name for check in first.checks} >= {"live public.customer", "live public.orders"}
        assert first.left_out == ()
        assert pair.value("source", "SELECT count(*) FROM pg_replication_slots WHERE temporary") == 0
        one = compared(installation, run, "public.product")
        assert [check.name for check in one.checks] == ["live public.product"]
        assert one.checks[0].passed
        # no traffic goes to this table
        pair.destination.run_sql("UPDATE order_line SET quantity = quantity + 1 WHERE line = 1", pair.name)
        report = str(tmp_path / "report.json")
        commands = Commands(installation, tmp_path, continuous(shop_job))
        code, out, err = commands.ask("verify", str(commands.job), "--live", "--report", report)
        assert code == 1, err
        assert "1 of 5 tables differ from the source" in out
        assert "✗ live public.order_line" in out
        assert "rows on both sides, not all of them the same" in out
        code, out, _ = commands.ask("report", report)
        assert code == 3  # unsigned
        assert f"run {run}, compared live" in out
    unknown = compared(installation, run, "public.nowhere")
    assert (unknown.state, unknown.why) == ("failed", "the run has no table public.nowhere")
    installation.tell(PauseRequested(run=run))
    installation.wait(run, lambda record: record.state == "paused", 30)
    code, _, err = commands.ask("verify", str(commands.job), "--live")
    assert code == 2
    assert "is paused: a comparison needs one that streams" in err
    refused = compared(installation, run)
    assert refused.state == "refused"
    assert "paused" in refused.why
    assert eventually(
        lambda: pair.value("destination", "SELECT count(*) FROM tailrace.comparison_batch") == 0, 10, "rows are left"
    )


def test_a_reader_that_dies_and_an_owner_of_the_lane_that_dies_cost_a_comparison_a_new_beginning_and_nothing_else(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path
) -> None:
    pair = new_shop("comparingdies", 400)
    let_follow(pair)
    installation = install(pair, start=False)
    dying = {"TAILRACE_CRASH_AT": "reader.after-point", "TAILRACE_CRASH_ONCE": str(tmp_path / "reader")}
    readers = installation.scale("reader", 2, **dying)
    dying = {"TAILRACE_CRASH_AT": "writer.after-cut", "TAILRACE_CRASH_ONCE": str(tmp_path / "writer")}
    writers = installation.scale("writer", 2, **dying)
    installation.scale("generator", 1)
    run = installation.submit(continuous(shop_job))
    streaming(installation, run)
    with traffic(pair):
        made = compared(installation, run, seconds=120)
        assert made.state == "done", made.why
        assert [check.name for check in made.checks if not check.passed] == []
        assert (sum(p.alive for p in readers), sum(p.alive for p in writers)) == (1, 1)
        assert made.tries > 1

    def caught_up_since(record: RunRecord) -> bool:
        over = record.comparison is not None and record.comparison.state == "done"
        return over and bool(record.lanes) and record.lanes[0].lag_s == 0.0

    record = installation.wait(run, caught_up_since, 30)
    assert (record.state, record.attempt) == ("streaming", 1)
