"""What goes wrong around a run that follows its source: nothing is lost, nothing comes twice, and what cannot be made good is read
anew and said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import asyncpg
import pytest
from aiokafka import TopicPartition

from support.databases import Pair, make_pair
from support.followed import JOB, SCHEMA, Followed
from support.following import caught_up, let_follow, slots, streaming
from support.installation import Installation, eventually
from support.tcp_proxy import Behind, proxied
from support.wholeness import seen_wrong
from support.wrapping import bring_near_the_wrap
from tailrace.embedded.kafka import EmbeddedKafka
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_shared import topics
from tailrace_shared.messages import PauseRequested, ResumeRequested

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
USUAL_MESSAGES = JOB.replace("  message_bytes: 131072\n", "").replace("  rows_per_batch: 500\n", "")
"""And batches: for what is large or has gathered for long, and is to be had in the test's time."""
AWAY_S = 600
RETAINED = (
    "SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
)
UNDER_WAY = 24 << 20
"""WAL that a capture which keeps up has not confirmed: what is in hand, and what one large transaction takes."""


@pytest.fixture(scope="module")
def broker(runtime: Runtime) -> EmbeddedKafka:
    if runtime.kafka is None:
        pytest.skip("TAILRACE_KAFKA names brokers that are not ours to kill")
    return runtime.kafka


@pytest.fixture(scope="module")
def world(runtime: Runtime, new_pair: Callable[..., Pair]) -> Iterator[Followed]:
    pair = new_pair("faults", SCHEMA)
    let_follow(pair)
    with Installation(runtime, pair, canaries="canary-mail.test") as installation:
        yield Followed(pair, installation)


@pytest.mark.parametrize("part", ["broker", "source", "destination"])
def test_a_part_that_is_killed_and_comes_back_costs_nothing(world: Followed, broker: EmbeddedKafka, part: str) -> None:
    world.reset()
    run = world.submit()
    killed = {"broker": broker, "source": world.pair.source, "destination": world.pair.destination}[part]
    with world.hammered(11) as hammer:
        for away_s in (0.5, 4.0):
            time.sleep(2)
            killed.kill()
            time.sleep(away_s)
            killed.start()
        time.sleep(2)
        hammer.quiet.set()
        world.is_equal(run)


def test_a_source_that_is_shut_down_in_good_order_does_not_wait_for_its_follower(world: Followed) -> None:
    """Also while nothing can be sent: a walsender waits for what is not confirmed, so the stream lets go by itself."""
    world.reset()
    run = world.submit()
    with world.hammered(12) as hammer:
        time.sleep(2)
        world.pair.source.restart()
        time.sleep(2)
        hammer.quiet.set()
        world.is_equal(run)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_network_that_is_cut_or_falls_silent_costs_nothing(
    runtime: Runtime, new_pair: Callable[..., Pair], side: str
) -> None:
    pair = new_pair(f"cut_{side}", SCHEMA)
    let_follow(pair)
    with proxied(getattr(pair, side).port) as proxy:
        behind = Behind(pair.name, pair.source, pair.destination, pair.password, proxy, side)
        with Installation(runtime, behind, canaries="canary-mail.test") as installation:
            world = Followed(pair, installation)
            world.reset()
            run = world.submit()
            with world.hammered(13) as hammer:
                time.sleep(2)
                proxy.cut()
                time.sleep(5)
                proxy.heal()
                time.sleep(3)
                proxy.silence()
                time.sleep(8)
                proxy.heal()
                time.sleep(3)
                hammer.quiet.set()
                world.is_equal(run)


def test_a_transaction_that_runs_since_before_the_slot_is_carried_whole(world: Followed) -> None:
    """Half of it was written before the slot began: it must be waited for, and then be in the snapshot or in the stream."""
    world.reset()

    async def held() -> str:
        connection = await asyncpg.connect(world.pair.source.url(world.pair.name))
        try:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO twin_a VALUES (77, 1)")
            run = await asyncio.to_thread(world.installation.submit, JOB)
            await asyncio.to_thread(eventually, lambda: slots(world.pair), 60, "a slot or a publication")
            await asyncio.sleep(2)  # the slot waits for the transaction
            await connection.execute("INSERT INTO twin_b VALUES (77, 1)")
            await transaction.commit()
            return run
        finally:
            await connection.close()

    run = asyncio.run(held())
    streaming(world.installation, run, 150)
    world.is_equal(run)
    assert world.pair.value("destination", "SELECT count(*) FROM twin_b") == 1


def test_a_slot_that_was_dropped_is_told_and_everything_is_read_anew(world: Followed) -> None:
    world.reset()
    run = world.submit()
    pair = world.pair
    with world.hammered(14) as hammer:
        time.sleep(1)
        slot = str(
            pair.value("source", "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        )

        def dropped() -> bool:
            pair.source.run_sql(
                f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}'",
                pair.name,
            )
            try:
                pair.fetch("source", f"SELECT pg_drop_replication_slot('{slot}')")
            except asyncpg.ObjectInUseError:
                return False
            return True

        eventually(dropped, 30, "the slot is dropped before its capture is back")
        world.again(run)
        assert any("slot" in r.waiting_for or "slot" in str(r) for r in world.installation.records(run))
        hammer.quiet.set()
        world.is_equal(run, attempt=2)


def test_a_slot_that_the_source_gives_up_for_its_size_is_told_and_everything_is_read_anew(world: Followed) -> None:
    """Nobody captures for longer than max_slot_wal_keep_size lasts."""
    world.reset()
    run = world.submit()
    pair, installation = world.pair, world.installation
    status = "SELECT wal_status FROM pg_replication_slots WHERE database = current_database()"
    installation.scale("reader", 0)
    try:
        pair.source.run_sql("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'")
        pair.source.run_sql("SELECT pg_reload_conf()")

        def given_up() -> bool:
            pair.source.run_sql(
                "SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, 40);"
                "SELECT pg_switch_wal(); CHECKPOINT",
                pair.name,
            )
            return pair.value("source", status) == "lost"

        eventually(given_up, 60, "the source gives the slot up")
        pair.source.run_sql("INSERT INTO twin_a VALUES (78, 1); INSERT INTO twin_b VALUES (78, 1)", pair.name)
    finally:
        pair.source.run_sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        pair.source.run_sql("SELECT pg_reload_conf()")
        installation.scale("reader", 1)
    world.again(run)
    assert "slot-lost" in installation.logs()
    assert pair.value("source", status) == "reserved"
    world.is_equal(run, attempt=2)


def test_a_source_whose_transaction_ids_come_round_is_followed_across(
    runtime: Runtime, destination: EmbeddedPostgres
) -> None:
    # Autovacuum would take what was frozen before the jump for younger than it is, and remove the commit log that is in use.
    source = runtime.start_postgres("wrap-source", fsync=False, settings={"autovacuum": "off"})
    pair = make_pair("wrap", source, destination, SCHEMA)
    let_follow(pair)
    with Installation(runtime, pair, canaries="canary-mail.test") as installation:
        world = Followed(pair, installation)
        world.reset()
        bring_near_the_wrap(pair.source, 1_000)
        with world.hammered(20) as hammer:
            run = world.submit()
            eventually(lambda: wrapped(pair), 120, "transaction ids have come round")
            time.sleep(2)
            hammer.quiet.set()
            world.is_equal(run)


def wrapped(pair: Pair) -> bool:
    left = pair.value(
        "source", "SELECT 4294967296 - pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296"
    )
    assert isinstance(left, Decimal)
    return left > 1 << 31


@pytest.mark.parametrize("kind", ["changes", "masked-changes"])
def test_records_that_kafka_has_lost_are_noticed_and_everything_is_read_anew(world: Followed, kind: str) -> None:
    world.reset()
    run = world.submit()
    installation = world.installation
    with world.hammered(15) as hammer:
        time.sleep(2)
        # What is behind is cut off while nobody takes it.
        taker = {"changes": ("reader", "generator"), "masked-changes": ("generator", "writer")}[kind]
        for service in taker[1:]:
            installation.scale(service, 0)
        time.sleep(3)
        for service in taker[:1]:
            installation.scale(service, 0)
        hammer.quiet.set()
        asyncio.run(emptied(installation, topics.of_run(installation.namespace, run, kind)))
        for service in taker:
            installation.scale(service, 1)
        hammer.quiet.clear()
        world.again(run)
        time.sleep(1)
        hammer.quiet.set()
        world.is_equal(run, attempt=2)


async def emptied(installation: Installation, topic: str) -> None:
    place = TopicPartition(topic, 0)
    consumer = installation.kafka.consumer(group=None)
    consumer.assign([place])
    await consumer.start()
    try:
        end = (await consumer.end_offsets([place]))[place]
    finally:
        await consumer.stop()
    async with installation.kafka.admin() as admin:
        await admin.delete_records({(topic, 0): end})


def test_a_destination_that_is_away_holds_no_wal_of_the_source_until_the_budget_is_spent(world: Followed) -> None:
    world.reset()
    small = Followed(world.pair, world.installation, USUAL_MESSAGES + "continuous: {disk_bytes: 4194304}\n")
    run = small.submit()
    pair = world.pair
    with small.hammered(16) as hammer:
        pair.destination.kill()
        try:
            time.sleep(12)
            assert pair.value("source", RETAINED) < UNDER_WAY  # the rest is on Kafka
            pair.source.run_sql(
                "INSERT INTO whole SELECT i, (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 60) j), 1 "
                "FROM generate_series(100000, 106000) i",
                pair.name,
            )
            eventually(lambda: pair.value("source", RETAINED) > 2 << 20, 60, "the capture stops at its budget")
            time.sleep(14)  # longer than a stream stands still before it ends itself
        finally:
            pair.destination.start()
        hammer.quiet.set()
        small.is_equal(run)


@pytest.mark.timeout(2400)
def test_a_destination_that_is_away_for_ten_minutes_costs_the_source_no_wal_and_is_caught_up_with(
    world: Followed,
) -> None:
    world.reset()
    pair, long = world.pair, Followed(world.pair, world.installation, USUAL_MESSAGES, load_s=900)
    run = long.submit()
    with long.hammered(19) as hammer:
        time.sleep(2)
        begun = wal_end(pair)
        pair.destination.kill()
        try:
            most, former = 0, 0
            for _ in range(AWAY_S // 30):
                for _ in range(6):
                    time.sleep(5)
                    kept = pair.value("source", RETAINED)
                    assert isinstance(kept, int | Decimal)
                    most = max(most, int(kept))
                (slot,) = pair.fetch(
                    "source",
                    "SELECT active, wal_status, (confirmed_flush_lsn - '0/0')::bigint AS confirmed "
                    "FROM pg_replication_slots WHERE database = current_database()",
                )
                assert (slot["active"], slot["wal_status"]) == (True, "reserved")
                assert slot["confirmed"] > former  # the capture lives
                former = slot["confirmed"]
            written = wal_end(pair) - begun
        finally:
            pair.destination.start()
        back = time.monotonic()
        hammer.quiet.set()
        long.caught_up(run)
        print(
            f"{written >> 20} MiB of WAL while away, {most >> 20} kept at most, caught up in {time.monotonic() - back:.0f} s"
        )
        assert most < UNDER_WAY < written
        long.is_equal(run)


def wal_end(pair: Pair) -> int:
    """Bytes of WAL that the source has written."""
    end = pair.value("source", "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    assert isinstance(end, int)
    return end


@pytest.mark.parametrize("rows", [300_000, pytest.param(5_000_000, marks=pytest.mark.timeout(3600))])
def test_an_update_of_every_row_takes_bounded_memory_and_is_seen_whole(
    runtime: Runtime, new_pair: Callable[..., Pair], rows: int
) -> None:
    pair = new_pair(f"large_{rows}", SCHEMA)
    let_follow(pair)
    with Installation(runtime, pair, canaries="canary-mail.test") as installation:
        world = Followed(pair, installation, USUAL_MESSAGES, load_s=150 + rows / 5_000)
        world.reset()
        pair.source.run_sql(f"INSERT INTO tide SELECT i, 0, 'x' FROM generate_series(2000, {rows + 2000}) i", pair.name)
        run = world.submit()
        before = {p.name: p.resident_bytes for p in installation.group.all()}
        pair.source.run_sql("UPDATE tide SET level = level + 1", pair.name)
        wanted, most = wal_end(pair), dict(before)
        pair.source.run_sql("SELECT pg_logical_emit_message(true, 'tailrace.heartbeat', 'behind')", pair.name)
        end = time.monotonic() + rows / 500 + 120
        while (pair.value("destination", "SELECT max(position) FROM tailrace.lane") or 0) < wanted:  # type: ignore[operator]
            assert time.monotonic() < end
            assert seen_wrong(pair) == {}
            for process in installation.group.all():
                most[process.name] = max(most[process.name], process.resident_bytes)
            time.sleep(0.5 + rows / 2_000_000)  # to look takes long, too
        grown = {name: (most[name] - before[name]) >> 20 for name in most}
        print(f"{rows} rows: MiB more at most {grown}")
        assert max(grown.values()) < 400
        assert pair.value("destination", "SELECT min(level) FROM tide") == 1
        world.is_equal(run)


def test_pause_resume_and_cancel_under_traffic(world: Followed) -> None:
    world.reset()
    run = world.submit()
    installation, pair = world.installation, world.pair
    with world.hammered(17) as hammer:
        installation.tell(PauseRequested(run=run))
        installation.wait(run, lambda r: r.state == "paused")
        position = pair.value("destination", "SELECT position FROM tailrace.lane")
        time.sleep(3)
        assert pair.value("destination", "SELECT position FROM tailrace.lane") == position
        installation.tell(ResumeRequested(run=run))
        installation.wait(run, lambda r: r.state == "streaming")
        time.sleep(1)
        hammer.quiet.set()
        caught_up(pair)
        hammer.quiet.clear()
        installation.cancel(run)
        assert installation.wait(run).state == "cancelled"
    assert all(rows == 0 for rows, _ in pair.digest().values())
    eventually(lambda: slots(pair) == [], 10, "slot and publication are dropped")


def test_two_runs_follow_one_source_at_once(runtime: Runtime, world: Followed, new_pair: Callable[..., Pair]) -> None:
    """Into two destinations; what one of them does is nothing to the other."""
    world.reset()
    other = new_pair("faults_too", SCHEMA)
    beside = Pair(world.pair.name, world.pair.source, world.pair.destination, world.pair.password)
    second = Behindhand(beside.name, beside.source, beside.destination, beside.password, other)
    with Installation(runtime, second, canaries="canary-mail.test") as installation:
        first, run = world.submit(), installation.submit(JOB)
        streaming(installation, run, 150)
        with world.hammered(18) as hammer:
            time.sleep(3)
            installation.scale("writer", 0)
            time.sleep(2)
            installation.scale("writer", 1)
            time.sleep(2)
            hammer.quiet.set()
            caught_up(world.pair, 120)
            wanted = world.pair.digest()
            eventually(
                lambda: other.digest()["public.twin_a"] == wanted["public.twin_a"], 120, "the other has it as well"
            )
        installation.cancel(run)
        installation.wait(run)
        world.is_equal(first)


@dataclass
class Behindhand(Pair):
    """A source and the destination of another pair."""

    other: Pair | None = None

    @property
    def destination_url(self) -> str:
        assert self.other is not None
        return self.other.destination_url
