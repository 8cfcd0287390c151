"""The reader's workload with a real broker and a real source: plan, hold, read, look up, leave."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import asyncpg
import pyarrow as pa
import pytest
from ulid import ULID

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_reader.settings import Settings
from tailrace_reader.workload import ReaderWorkload
from tailrace_shared import messages as m
from tailrace_shared import topics
from tailrace_shared.batch import BatchHead, associated_data, head_of
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher, TransportKey
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.plan.model import Fingerprints, Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.metrics import Metrics

TRANSPORT_KEY = "a transport key for tests"
DATABASE = "reader_member"
DEADLINE_S = 45.0
F = TypeVar("F", bound=m.Fact)


class Facts:
    """A Control that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[m.Fact] = []

    async def fact(self, fact: m.Fact) -> None:
        self.told.append(fact)

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.told if isinstance(fact, kind)]


class Reader:
    """One replica."""

    def __init__(self, name: str, kafka: Kafka, namespace: str) -> None:
        settings = Settings(namespace=namespace, heartbeat_s=0.5, drain_s=5, source_ping_s=0.3)
        self.facts = Facts()
        self.failures: list[BaseException] = []
        self.name = f"reader-{name}-{namespace}"
        self.workload = ReaderWorkload(settings)
        self.context = ServiceContext(
            settings, "reader", self.name, kafka, self.facts, Metrics("reader"), self.failures.append  # type: ignore[arg-type]
        )  # fmt: skip

    async def answer(self, task: m.PlanTask) -> None:
        """Bring the task, wait until it is answered."""
        await self.workload.on_task(task)
        planner = self.workload._planner
        assert planner is not None
        await until("nothing is being planned", lambda: not planner._turns)


class Run:
    """What the leader would know and do."""

    def __init__(self, kafka: Kafka, namespace: str, job: Job, destination: Catalogue) -> None:
        self.kafka, self.namespace, self.job = kafka, namespace, job
        self.id = str(ULID())
        now = dt.datetime.now(dt.UTC)
        self.record = m.RunRecord(run=self.id, version=1, state="submitted", job=job, submitted_at=now, updated_at=now)
        prints = Fingerprints(mask_secret="m", catalogue="c", pools="p")
        self.task = m.PlanTask(run=self.id, attempt=1, job=job, destination=destination, fingerprints=prints)
        self.readers: list[Reader] = []

    def topic(self, name: topics.RunTopic) -> str:
        return topics.of_run(self.namespace, self.id, name)

    async def reader(self, name: str) -> Reader:
        made = Reader(name, self.kafka, self.namespace)
        self.readers.append(made)
        await made.workload.start(made.context)
        return made

    async def publish(self, *readers: Reader, **changes: object) -> None:
        self.record = self.record.model_copy(update={"version": self.record.version + 1, **changes})
        for reader in readers:
            await reader.workload.on_record(self.record)

    async def planned(self, reader: Reader, plans: int = 1) -> Plan:
        """Plan, and have the reader join; ``plans`` are on the topic then."""
        await reader.answer(self.task)
        (fact,) = reader.facts.of(m.Planned)
        snapshot = m.Snapshot(replica=fact.replica, id=fact.snapshot)
        await self.publish(reader, state="planned", digest=fact.digest, snapshots=(snapshot,))
        await until("joined", lambda: bool(reader.facts.of(m.SnapshotHeld)))
        published = [record.value for record in await consume(self.kafka, self.topic("plan"), plans)]
        (data,) = [value for value in published if Plan.digest_of(value) == fact.digest]
        return Plan.decode(data)

    async def work(self, *items: m.Work) -> None:
        sender = Sender(self.kafka, 1 << 20)
        await sender.start()
        for number, item in enumerate(items):
            await sender.send(self.topic("work"), item.model_dump_json().encode(), partition=number % 3)
        await sender.stop(Deadline.after(5))

    def ranges(self, plan: Plan, table: int) -> list[m.ReadRange]:
        return [
            m.ReadRange(
                run=self.id, attempt=1, table=table, load=0, range=r.number, leaf=r.leaf, low=m.Bound(block=r.low),
                high=None if r.high is None else m.Bound(block=r.high),
            )
            for r in plan.table(table).ranges
        ]  # fmt: skip


async def until(
    what: str, holds: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = DEADLINE_S
) -> None:
    deadline = Deadline.after(seconds)
    while not deadline.expired:
        answer = holds()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


async def consume(kafka: Kafka, topic: str, count: int) -> list[object]:
    consumer = kafka.consumer(topic, group=None)
    await consumer.start()
    got: list[object] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(got) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    got += records
    finally:
        await consumer.stop()
    return got


def opened(records: list[object], plan: Plan) -> list[tuple[BatchHead, pa.RecordBatch]]:
    """By identity, whatever came twice once, after checking that it is equal."""
    cipher = DataCipher(TransportKey.of(TRANSPORT_KEY).unwrap(plan.key.wrapped, f"{plan.run}/{plan.attempt}"))
    found: dict[tuple[object, ...], tuple[BatchHead, pa.RecordBatch]] = {}
    for record in records:
        head = head_of(record.headers)
        batch = ipc.decode(cipher.open(record.value, associated_data(record.headers)))
        if head.id in found:
            assert found[head.id] == (head, batch)
        found[head.id] = (head, batch)
    return [found[key] for key in sorted(found)]


@pytest.fixture
def kafka(runtime: Runtime) -> Kafka:
    return Kafka(KafkaSettings(brokers=runtime.kafka_settings["TAILRACE_KAFKA"]))


@pytest.fixture
async def admin(source: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    first = await asyncpg.connect(source.url())
    if not await first.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
        await first.execute(f"CREATE DATABASE {DATABASE}")
    await first.close()
    connection = await asyncpg.connect(source.url(DATABASE))
    await connection.execute(
        "DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop;"
        "CREATE TABLE shop.person (id int PRIMARY KEY, name text, born date);"
        "INSERT INTO shop.person SELECT i, 'Person ' || i, CASE WHEN i = 700 THEN 'infinity' ELSE date '1970-01-01' + i END"
        " FROM generate_series(1, 20000) i;"
        "CREATE TABLE shop.empty (id int PRIMARY KEY); ANALYZE"
    )
    yield connection
    connection.terminate()


@pytest.fixture
async def run(
    kafka: Kafka, source: EmbeddedPostgres, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Run]:
    monkeypatch.setenv("SOURCE_URL", source.url(DATABASE))
    monkeypatch.setenv("TAILRACE_TRANSPORT_KEY", TRANSPORT_KEY)
    job = Job.model_validate(
        {
            "name": "test", "source": {"url": "${SOURCE_URL}"}, "destination": {"url": "${DESTINATION_URL}", "mode": "truncate"},
            "schemas": ["shop"], "default_mode": "duplicate",
            "limits": {"rows_per_batch": 500, "range_bytes": 256 << 10, "partitions": 3},
        }
    )  # fmt: skip
    elsewhere = (await read_catalogue(admin, ["shop"], ask_rows=True)).model_copy(update={"system_id": "another"})
    made = Run(kafka, f"t{ULID()}".lower(), job, elsewhere)
    settings = topics.run_settings(job.limits.message_bytes)
    async with kafka.admin() as cluster:
        await cluster.create_topics({made.topic("plan"): (1, settings), made.topic("work"): (3, settings)})
        await cluster.create_topics({made.topic("raw"): (3, settings)})
        yield made
        for reader in made.readers:
            await reader.workload.stop(Deadline.after(10))
            assert reader.failures == []
        await cluster.delete_topics([made.topic(name) for name in ("plan", "work", "raw")])


async def sessions(admin: asyncpg.Connection, reader: Reader) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
    return int(await admin.fetchval(query, f"tailrace/{reader.name}"))


async def test_a_table_is_read_whole_by_two_readers_in_one_snapshot(run: Run, admin: asyncpg.Connection) -> None:
    first = await run.reader("1")
    plan = await run.planned(first)
    number = next(t.number for t in plan.tables if t.name.name == "person")
    held = first.facts.of(m.SnapshotHeld)[0]
    second = await run.reader("2")
    await run.publish(second)
    await until("the second holds it, too", lambda: bool(second.facts.of(m.SnapshotHeld)))
    assert second.facts.of(m.SnapshotHeld)[0].snapshot != held.snapshot
    want = await admin.fetch("SELECT id, name, born::text FROM shop.person ORDER BY ctid")
    await admin.execute("DELETE FROM shop.person WHERE id % 2 = 0; UPDATE shop.person SET name = 'late'")
    await run.publish(first, second, state="loading")

    ranges = run.ranges(plan, number)
    assert len(ranges) > 3
    await run.work(*ranges, *ranges)  # everything twice

    def read() -> list[m.RangeRead]:
        return [*first.facts.of(m.RangeRead), *second.facts.of(m.RangeRead)]

    await until("all ranges are read twice", lambda: len(read()) == 2 * len(ranges))
    assert len({(f.range, f.rows, f.batches, f.bytes) for f in read()}) == len(ranges), "both readings are equal"
    batches = opened(await consume(run.kafka, run.topic("raw"), sum(f.batches for f in read())), plan)
    assert sum(f.batches for f in read()) == 2 * len(batches)
    assert {(h.kind, h.plan, h.key, h.parts) for h, _ in batches} == {("raw", run.record.digest, plan.key.id, 1)}
    for r in ranges:
        of_range = [h for h, _ in batches if h.id.range == r.range]
        assert [h.id.batch for h in of_range] == list(range(len(of_range)))
        assert [h.last for h in of_range] == [False] * (len(of_range) - 1) + [True]
    got = [(row["id"], row["name"], str(row["born"])) for _, batch in batches for row in batch.to_pylist()]
    assert got == [tuple(row.values()) for row in want]
    assert {b.schema.field("born").type for _, b in batches} == {pa.date32(), pa.string()}
    assert sum(pa.types.is_string(b.schema.field("born").type) for _, b in batches) == 1

    await run.publish(first, second, state="finishing")
    for reader in (first, second):

        async def free(of: Reader = reader) -> bool:
            return await sessions(admin, of) == 0

        await until("the source is left alone once everything is loaded", free)
    await run.publish(first, second, state="verifying")
    name = m.LeakSample(table=number, column="name", values=("late", "Person 1", "x"))
    none = m.LeakSample(table=number, column="born", values=("never",))
    await run.work(m.CheckLeaks(run=run.id, attempt=1, samples=(name, none)))

    def checked() -> list[m.LeaksChecked]:
        return [*first.facts.of(m.LeaksChecked), *second.facts.of(m.LeaksChecked)]

    await until("leaks are looked up", lambda: bool(checked()))
    counts = checked()[0].counts
    assert [(c.column, c.sampled, c.found) for c in counts] == [("name", 3, 1), ("born", 1, 0)]
    assert counts[0].source_distinct == 1
    assert first.facts.of(m.StageFailed) == second.facts.of(m.StageFailed) == []


async def test_a_plan_task_that_comes_twice_is_answered_with_the_same_plan(run: Run) -> None:
    reader = await run.reader("1")
    await reader.workload.on_task(run.task)
    await reader.answer(run.task)
    assert len(reader.facts.of(m.Planned)) == 1, "the run was being planned already"
    await reader.answer(run.task)
    one, two = reader.facts.of(m.Planned)
    assert one == two
    await run.publish(reader, state="planned", digest=one.digest, snapshots=(m.Snapshot(replica="r", id=one.snapshot),))
    await reader.answer(run.task)
    assert len(reader.facts.of(m.Planned)) == 2, "once the run is planned, nobody waits for an answer"


async def test_the_snapshot_of_a_plan_that_lost_is_let_go(run: Run, admin: asyncpg.Connection) -> None:
    winner, loser = await run.reader("1"), await run.reader("2")

    async def one() -> bool:
        return await sessions(admin, loser) == 1

    await loser.answer(run.task)
    await until("one session holds the snapshot of its plan", one)
    await run.planned(winner, plans=2)
    await run.publish(loser)
    await until("the loser joins the winner's snapshot", lambda: bool(loser.facts.of(m.SnapshotHeld)))
    await until("one session holds the winner's", one)
    await run.publish(winner, loser, state="cancelled")

    async def none() -> bool:
        return await sessions(admin, winner) + await sessions(admin, loser) == 0

    await until("nobody holds anything after the end", none)


async def test_an_empty_table_reports_its_range_without_batches(run: Run) -> None:
    reader = await run.reader("1")
    plan = await run.planned(reader)
    number = next(t.number for t in plan.tables if t.name.name == "empty")
    await run.publish(reader, state="loading")
    await run.work(*run.ranges(plan, number))
    await until("read", lambda: bool(reader.facts.of(m.RangeRead)))
    (fact,) = reader.facts.of(m.RangeRead)
    assert (fact.rows, fact.batches, fact.bytes, fact.rest) == (0, 0, 0, None)


async def test_a_rewritten_table_is_told_and_not_read(run: Run, admin: asyncpg.Connection) -> None:
    reader = await run.reader("1")
    plan = await run.planned(reader)
    number = next(t.number for t in plan.tables if t.name.name == "person")
    await admin.execute("VACUUM FULL shop.person")
    await run.publish(reader, state="loading")
    await run.work(run.ranges(plan, number)[0])
    await until("told", lambda: bool(reader.facts.of(m.SourceRewritten)))
    assert reader.facts.of(m.SourceRewritten)[0].table == number
    assert reader.facts.of(m.RangeRead) == reader.facts.of(m.StageFailed) == []


async def test_a_source_that_restarts_costs_the_snapshot_and_a_new_attempt_reads_on(
    run: Run, admin: asyncpg.Connection, source: EmbeddedPostgres
) -> None:
    reader = await run.reader("1")
    await run.planned(reader)
    old = run.record.snapshots
    await run.publish(reader, state="loading")
    await asyncio.to_thread(source.restart)
    await until("told", lambda: bool(reader.facts.of(m.SnapshotUnavailable)))
    tried = reader.facts.of(m.SnapshotUnavailable)[0].tried
    assert {s.id for s in old} <= set(tried)
    await run.publish(reader, state="submitted", attempt=2, digest="", snapshots=())
    task = run.task.model_copy(update={"attempt": 2})
    await reader.answer(task)
    fact = reader.facts.of(m.Planned)[-1]
    assert fact.attempt == 2
    await run.publish(
        reader, state="planned", digest=fact.digest, snapshots=(m.Snapshot(replica="r", id=fact.snapshot),)
    )
    await until("joined anew", lambda: any(f.attempt == 2 for f in reader.facts.of(m.SnapshotHeld)))
    plan = Plan.decode((await consume(run.kafka, run.topic("plan"), 2))[1].value)
    number = next(t.number for t in plan.tables if t.name.name == "person")
    await run.publish(reader, state="loading")
    ranges = [r.model_copy(update={"attempt": 2}) for r in run.ranges(plan, number)]
    await run.work(*run.ranges(plan, number), *ranges)
    await until("read", lambda: len(reader.facts.of(m.RangeRead)) == len(ranges))
    assert sum(f.rows for f in reader.facts.of(m.RangeRead)) == 20000
    assert {f.attempt for f in reader.facts.of(m.RangeRead)} == {2}, "work of the lost attempt passes by"


async def test_a_source_that_cannot_be_reached_fails_the_run_after_the_patience_only(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader("1", run.kafka, run.namespace)
    reader.workload = ReaderWorkload(Settings(namespace=run.namespace, source_patience_s=1.0))
    run.readers.append(reader)
    await reader.workload.start(reader.context)
    monkeypatch.setenv("SOURCE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/nothing")
    await reader.answer(run.task)
    (fact,) = reader.facts.of(m.StageFailed)
    assert fact.failure.code == "reader.source-failing"
    assert "SOURCE_URL" in fact.failure.message
    assert "secret-word" not in str(fact)


async def test_a_missing_variable_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = await run.reader("1")
    monkeypatch.delenv("SOURCE_URL")
    await reader.answer(run.task)
    (fact,) = reader.facts.of(m.StageFailed)
    assert (fact.failure.code, "SOURCE_URL" in fact.failure.message) == ("secret.missing", True)
