"""Nothing leaks: canaries in every masked column, and somebody who reads all that comes out of a run but the source itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import zstandard

from support.canaries import JOB, LOAD, PLANTED, ROWS, SCHEMA, VISIBLE, Search
from support.databases import Pair
from support.following import let_follow, streaming
from support.installation import Installation, eventually
from support.wiretap import Heard, Wiretap
from tailrace_shared.batch import head_of
from tailrace_shared.dataplane import ipc
from tailrace_shared.messages import RunRecord, StageFailed, StopRequested

SAYING = ("jobs", "facts", "tasks", "plan", "work")
"""Topics that say something of a run and carry no rows."""
STATE = ("run", '"table"', "range", "ledger", "ddl", "claim", "replica", "leak")
DEBUG = {"TAILRACE_LOG_LEVEL": "DEBUG"}


class Metrics:
    """Everything that the services' HTTP servers say, over and over until the ``with`` ends."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._ended = threading.Event()
        self.said: dict[str, set[str]] = {}
        self._thread = threading.Thread(target=self._watch, name="metrics")

    def __enter__(self) -> Metrics:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(20)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for replica in self._installation.group.all():
                for path in ("/metrics", "/health/live", "/health/ready", "/docs"):
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{replica.port}{path}", timeout=2) as answer:
                            lines = answer.read().decode().splitlines()
                    except OSError:  # stopped, starting, not ready
                        continue
                    self.said.setdefault(f"{replica.name}{path}", set()).update(lines)


@dataclass
class Watched:
    """An installation whose every word is kept."""

    installation: Installation
    tap: Wiretap
    metrics: Metrics

    @property
    def pair(self) -> Pair:
        return self.installation.pair

    def search(self) -> Search:
        """For canaries, and for every secret that any service was given."""
        return Search(secrets=(*self.installation.secrets_given, self.pair.password))

    def listen(self, search: Search) -> None:
        """All that is said of a run, where no value has any business, masked or not."""
        assert not self.tap.lost, self.tap.lost
        search.text("logs", self.installation.logs())
        for place, lines in self.metrics.said.items():
            search.text(place, *lines)
        for kind in (*SAYING, "raw", "training"):
            heard = self.tap.records(kind)
            search.binary(f"topic {kind}", [piece for record in heard for piece in record.everything()])
            if kind == "plan":
                search.text("a plan", *(unpacked(record.value) for record in heard))
        for table in STATE:
            for row in self.pair.fetch("destination", f"SELECT t::text AS line FROM tailrace.{table} AS t"):
                search.text(f"tailrace.{table}", row["line"])
        search.text("tailrace status", self.command("status", "--json"))

    def command(self, *arguments: str) -> str:
        """What the command says, on both streams."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        ours = {
            "SOURCE_URL": self.pair.source_url,
            "DESTINATION_URL": self.pair.destination_url,
            "TAILRACE_MASK_SECRET": self.installation.secrets_given[1],
            "SHOP_CANARIES": PLANTED,
            "TAILRACE_NAMESPACE": self.installation.namespace,
        }
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments],
            env={**kept, **ours, **self.installation.runtime.kafka_settings},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.stdout, done.stderr
        return done.stdout + done.stderr


Watch = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture
def watch(install: Callable[..., Installation]) -> Watch:
    """Makes installations that are watched from before their first word."""

    @contextmanager
    def start(pair: Pair, *, without: str = "", trainer: bool = False) -> Iterator[Watched]:
        installation = install(pair, start=False, extra=DEBUG, canaries=PLANTED)
        with Wiretap(installation.kafka, installation.namespace) as tap, Metrics(installation) as metrics:
            for service in ("writer", "generator", "reader", *(("trainer",) if trainer else ())):
                if service != without:
                    installation.scale(service, 1)
            yield Watched(installation, tap, metrics)

    return start


# --- a run that succeeds ---------------------------------------------------------------------------------------------


def test_no_canary_and_no_secret_is_anywhere_but_in_the_source(
    watch: Watch, new_pair: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = new_pair("leaks", SCHEMA, LOAD)
    job_file = tmp_path / "job.yaml"
    job_file.write_text(JOB)
    with watch(pair, trainer=True) as watched:
        search: Search = watched.search()
        search.text("tailrace plan", watched.command("plan", str(job_file)))
        search.text("tailrace plan --json", watched.command("plan", str(job_file), "--json"))
        for replica in watched.installation.group.all():
            of_its_own(replica.pid, replica.name.split("-")[0], watched)
        run = watched.installation.submit(JOB)
        record = watched.installation.wait(run)
        assert record.state == "done", record.failure or record.problems
        assert all(check.passed for check in record.checks), record.checks
        looked_for = [check.detail for check in record.checks if check.name.startswith("canaries ")]
        assert looked_for == ["0 of 2 found"] * 2, "the writer knew what the job only names"
        search.text("tailrace verify", watched.command("verify", str(job_file), "--all"))
        search.text("tailrace verify --json", watched.command("verify", str(job_file), "--json"))
        eventually(lambda: not watched.installation.topics_left(), 30, "the run's topics are gone")
    watched.installation.group.stop()
    watched.listen(search)

    raw, masked = watched.tap.records("raw"), watched.tap.records("masked")
    assert rows_of(raw) == rows_of(masked) == {0: ROWS, 1: ROWS}, "nothing of the batches was missed"
    for sealed in raw:
        for name in (b"first_name", b"salary", b"visit_id", b"ARROW1"):
            assert name not in sealed.value, "a raw batch is encrypted, its schema too"
    for kind in SAYING:
        assert watched.tap.records(kind), f"nothing was heard on {kind}"
    assert any("/metrics" in place for place in watched.metrics.said)

    decoded = [ipc.decode(record.value) for record in masked]
    for heard, batch in zip(masked, decoded, strict=True):
        search.text("topic masked", *heard.everything())
        search.text("masked values", *text_of(batch))
    search.binary("masked batches in memory", [piece for batch in decoded for piece in buffers(batch)])
    assert any(VISIBLE in line for batch in decoded for line in text_of(batch)), "the search sees what is in batches"
    for table in (*pair.tables("destination"), "pg_stats"):
        for row in pair.fetch("destination", f"SELECT t::text AS line FROM {table} AS t"):
            search.text(table, row["line"])
    search.text("the destination's log", pair.destination.log.read_bytes())
    assert pair.contains(VISIBLE) == ["public.person"], "the search sees what is in tables"
    search.nothing()


def test_the_search_finds_every_canary_in_every_form(new_pair: Callable[..., Pair]) -> None:
    """What the test above relies on: originals as text and in Arrow's own buffers do not escape it."""
    pair = new_pair("leaksearch", SCHEMA, LOAD)
    rows = pair.fetch("source", "SELECT * FROM person ORDER BY person_id LIMIT 50")
    texts = pair.fetch("source", "SELECT * FROM (SELECT (jsonb_each_text(to_jsonb(p))).* FROM person p LIMIT 20) AS t")
    for key, value in texts:
        search = Search()
        search.text(key, value)
        assert bool(search.found) == (key != "open"), f"{key} as text"
    binary = {
        "person_id": pa.int32(), "account": pa.int64(), "lucky": pa.int32(), "score": pa.float64(),
        "salary": pa.decimal128(14, 2), "email": pa.string(),
    }  # fmt: skip
    for name, kind in binary.items():
        search = Search()
        search.binary(name, buffers(pa.record_batch([pa.array([row[name] for row in rows], kind)], names=["c"])))
        assert search.found, f"{name} in binary"
    secret = Search(secrets=("hunter2-hunter2",))
    secret.text("a log", "password hunter2-hunter2")
    with pytest.raises(AssertionError, match="secret 0 in a log"):
        secret.nothing()


def unpacked(plan: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(plan, max_output_size=1 << 28)


def of_its_own(pid: int, service: str, watched: Watched) -> None:
    """A process has its own secrets in its environment, no other's, and none among its arguments."""
    transport, mask, *planted = watched.installation.secrets_given
    holders = {
        transport: {"reader", "generator", "trainer"},
        mask: {"generator"},
        watched.pair.source_url: {"reader"},
        watched.pair.destination_url: {"writer"},
        **{canary: {"writer"} for canary in planted},
    }
    process = psutil.Process(pid)
    environment = Path(f"/proc/{pid}/environ").read_text()
    assert "TAILRACE_NAMESPACE" in environment
    for secret, services in holders.items():
        assert (secret in environment) == (service in services), f"{service} and secret of {services}"
    everybody = [process, *process.children(recursive=True), *psutil.Process().children(recursive=True)]
    for one in everybody:
        try:
            arguments = "\0".join(one.cmdline())
        except psutil.NoSuchProcess:
            continue
        for secret in (*holders, watched.pair.password):
            assert secret not in arguments, f"a secret among the arguments of {one.name()}"


def rows_of(records: list[Heard]) -> dict[int, int]:
    """Rows per table; each batch once, however often it was sent."""
    heads = {head_of(record.headers) for record in records}
    return {table: sum(head.rows for head in heads if head.id.table == table) for table in {h.id.table for h in heads}}


def buffers(batch: pa.RecordBatch) -> list[bytes]:
    """What the batch is in memory."""
    return [buffer.to_pybytes() for column in batch.columns for buffer in column.buffers() if buffer is not None]


def text_of(batch: pa.RecordBatch) -> list[str]:
    """Every value as text."""
    return [str(value) for column in batch.columns for value in column.to_pylist()]


# --- runs that fail --------------------------------------------------------------------------------------------------

SMALL = """
CREATE TABLE item (item_id integer PRIMARY KEY, tag text, secret text, due date, part numeric UNIQUE);
CREATE INDEX item_secret_idx ON item (secret);
CREATE TABLE note (note_id integer PRIMARY KEY, item_id integer NOT NULL REFERENCES item, said text,
  part integer REFERENCES item (part));
"""
SMALL_ROWS = """
INSERT INTO item SELECT 1555500000 + i, 'CANARY-TAG', 'canary secret ' || i, date '1911-03-17', i FROM generate_series(1, 400) i;
INSERT INTO note SELECT 1555500000 + i, 1555500000 + i, 'a canary said ' || i, i FROM generate_series(1, 400) i;
"""
SMALL_JOB = """
version: 1
name: fails
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
tables:
  public.item: {columns: {item_id: key, tag: duplicate, secret: mask.text, due: mask.date, part: key}}
  public.note: {columns: {note_id: key, said: mask.text}}
limits: {rows_per_batch: 100, credit_bytes: 4194304, partitions: 2}
"""


@pytest.fixture
def small(new_pair: Callable[..., Pair], request: pytest.FixtureRequest) -> Pair:
    return new_pair(f"leak{abs(hash(request.node.name)) % 10**9}", SMALL, SMALL_ROWS)


def failed_in_silence(watched: Watched, record: RunRecord, code: str, catalogue: list[tuple[str, ...]]) -> None:
    """It failed and is undone, and it quoted nothing."""
    failed_and_undone(watched, record, code, catalogue)
    search = watched.search()
    watched.listen(search)
    search.nothing()


def failed_and_undone(watched: Watched, record: RunRecord, code: str, catalogue: list[tuple[str, ...]]) -> None:
    """It failed with that code and a remedy, what it loaded is gone, what it dropped is back."""
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == code, record.failure
    assert record.failure.message
    assert record.failure.remedy, record.failure
    for table in ("item", "note"):
        assert watched.pair.value("destination", f"SELECT count(*) FROM {table}") == 0, table
    assert watched.pair.catalogue() == catalogue
    eventually(lambda: not watched.installation.topics_left(), 60, "the run's topics are gone")


SAME = "CREATE FUNCTION same(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'; "
"""A function of the destination's own: what rests on it cannot be counted in the source, so the plan lets it pass."""
REFUSALS = {
    "postgres.unique-violation": (
        SAME + "CREATE UNIQUE INDEX only_here ON item (same(tag))",
        "DROP INDEX only_here; DROP FUNCTION same",
    ),
    "postgres.check-violation": (
        SAME + "ALTER TABLE item ADD CONSTRAINT short CHECK (length(same(tag)) < 3)",
        "ALTER TABLE item DROP CONSTRAINT short; DROP FUNCTION same",
    ),
    "postgres.bad-text": (
        SAME + "ALTER TABLE item ADD CONSTRAINT a_number CHECK (same(tag)::integer > 0)",
        "ALTER TABLE item DROP CONSTRAINT a_number; DROP FUNCTION same",
    ),
    "postgres.exclusion-violation": (
        SAME + "ALTER TABLE item ADD CONSTRAINT apart EXCLUDE USING btree (same(tag) WITH =)",
        "ALTER TABLE item DROP CONSTRAINT apart; DROP FUNCTION same",
    ),
}
"""What the destination alone demands, and the COPY error that comes of it. PostgreSQL's own texts hold the value or the row."""


FRACTION = "INSERT INTO item VALUES (1555500900, '', '', NULL, 8088808888880.25)"
"""Of a numeric key whose domain is one of integers, which refer to it: nothing refers to this one, and it cannot be masked."""


def test_what_the_destination_or_the_plan_refuses_is_told_without_the_value(watch: Watch, small: Pair) -> None:
    with watch(small) as watched:
        for code, (change, undo) in REFUSALS.items():
            small.destination.run_sql(f'SET ROLE "{small.name}_loader"; {change}', small.name)
            catalogue = small.catalogue()
            failed_and_undone(watched, watched.installation.run(SMALL_JOB), code, catalogue)
            small.destination.run_sql(f'SET ROLE "{small.name}_loader"; {undo}', small.name)
        small.source.run_sql(FRACTION, small.name)
        failed_and_undone(watched, watched.installation.run(SMALL_JOB), "plan.refused", small.catalogue())
        for search in (watched.search(), Search(texts=(("the fraction", b"8088808888880"),))):
            watched.listen(search)
            search.nothing()


def test_a_change_that_a_generator_cannot_mask_is_told_without_the_value(watch: Watch, small: Pair) -> None:
    """No plan has seen it."""
    let_follow(small)
    with watch(small) as watched:
        job = SMALL_JOB.replace("version: 1\n", "version: 1\nmode: continuous\ncontinuous: {ddl: ask}\n")
        run = watched.installation.submit(job)
        streaming(watched.installation, run)
        small.source.run_sql(FRACTION, small.name)
        record = watched.installation.wait(run, lambda r: any(t.state == "quarantined" for t in r.tables), 60)
        said = {t.name: t.why for t in record.tables if t.state == "quarantined"}
        assert said.keys() == {"public.item"}
        assert "cannot be masked" in said["public.item"], said
        watched.installation.tell(StopRequested(run=run))
        assert watched.installation.wait(run, seconds=60).state == "failed", "a table is in quarantine"
        for search in (watched.search(), Search(texts=(("the fraction", b"8088808888880"),))):
            watched.listen(search)
            search.nothing()


def test_a_source_value_that_cannot_be_read(watch: Watch, small: Pair) -> None:
    """In SQL_ASCII the server takes any bytes for text, and hands them out."""
    name = small.name
    small.source.run_sql(f"DROP DATABASE {name}")
    small.source.run_sql(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc"
    )
    small.source.run_sql(f"{SMALL}{SMALL_ROWS}", name)
    small.grant("source", "select")
    small.source.run_sql("UPDATE item SET secret = E'canary \\xff\\xfe' WHERE item_id = 1555500300", name)
    catalogue = small.catalogue()
    with watch(small) as watched:
        record = watched.installation.run(SMALL_JOB)
        failed_in_silence(watched, record, "postgres.encoding", catalogue)
        assert record.failure is not None
        assert record.failure.where.startswith("public.item")


def test_a_raw_batch_under_another_identity_is_not_masked_but_refused(watch: Watch, small: Pair) -> None:
    """The writer is stopped before its first commit, so the run cannot end while somebody sends a batch again as another."""
    catalogue = small.catalogue()
    with watch(small, without="writer") as watched:
        installation: Installation = watched.installation
        stop = {"TAILRACE_CRASH_AT": "writer.after-copy-before-commit", "TAILRACE_CRASH_SIGNAL": "STOP"}
        (writer,) = installation.scale("writer", 1, **stop)
        run = installation.submit(SMALL_JOB)
        eventually(lambda: psutil.Process(writer.pid).status() == psutil.STATUS_STOPPED, 60, "the writer is stopped")
        (first, *_) = watched.tap.records("raw")
        other = [(name, b"99" if name == "batch" else value) for name, value in first.headers]

        async def send() -> None:
            producer = installation.kafka.producer(8 << 20)
            await producer.start()
            try:
                await producer.send_and_wait(first.topic, first.value, partition=first.partition, headers=other)
            finally:
                await producer.stop()

        asyncio.run(send())
        told = eventually(lambda: failures_of(watched, run), 30, "the generator has said what it was given")
        assert told == ["batch.sealed"]
        os.kill(writer.pid, signal.SIGCONT)
        record = installation.wait(run)
        failed_in_silence(watched, record, "batch.sealed", catalogue)
        assert not [r for r in watched.tap.records("masked") if head_of(r.headers).id.batch == 99]


def failures_of(watched: Watched, run: str) -> list[str]:
    said = [json.loads(record.value) for record in watched.tap.records("facts")]
    kind = StageFailed.model_fields["fact"].default
    return [fact["failure"]["code"] for fact in said if fact["fact"] == kind and fact["run"] == run]


# --- services that were given the wrong secret -----------------------------------------------------------------------


@pytest.mark.parametrize(("service", "variable"), [("reader", "SOURCE_URL"), ("writer", "DESTINATION_URL")])
def test_a_wrong_password_is_told_and_not_shown(watch: Watch, small: Pair, service: str, variable: str) -> None:
    catalogue = small.catalogue()
    with watch(small, without=service) as watched:
        installation: Installation = watched.installation
        right = small.source_url if service == "reader" else small.destination_url
        installation.scale(service, 1, **{variable: right.replace(small.password, "wrong-pass-word")})
        record = installation.run(SMALL_JOB)
        assert record.failure is not None
        assert variable in record.failure.message + record.failure.remedy, record.failure
        failed_and_undone(watched, record, record.failure.code, catalogue)
        search = Search(secrets=("wrong-pass-word", *watched.search().secrets))
        search.text("logs", installation.logs())
        search.binary("topics", [piece for heard in watched.tap.records() for piece in heard.everything()])
        search.nothing()


def test_a_generator_with_another_transport_key_takes_no_part_and_the_run_says_so(watch: Watch, small: Pair) -> None:
    with watch(small, without="generator") as watched:
        installation: Installation = watched.installation
        other = "another transport key altogether"
        installation.scale("generator", 1, TAILRACE_TRANSPORT_KEY=other)
        run = installation.submit(SMALL_JOB)
        record = installation.wait(run, lambda r: "transport key" in r.waiting_for)
        assert not watched.tap.records("masked")
        installation.scale("generator", 0)
        installation.scale("generator", 1)
        record = installation.wait(run)
        assert record.state == "done", "a generator with the right key goes on with it"
        search = Search(secrets=(other, *watched.search().secrets))
        watched.listen(search)
        search.nothing()


# --- a source that changes between planning and reading --------------------------------------------------------------


CHANGES = {
    "added": ("ALTER TABLE item ADD extra text DEFAULT 'canary extra'", "ALTER TABLE item DROP extra", "done"),
    "retyped": ("ALTER TABLE item ALTER due TYPE text", "ALTER TABLE item ALTER due TYPE date USING due::date", "done"),
    "renamed": ("ALTER TABLE item RENAME tag TO label; ALTER TABLE item RENAME secret TO tag", "", "failed"),
}
"""What is done to the source, what undoes it, and how the run ends."""


def test_a_column_that_changes_after_the_plan_lets_nothing_through(watch: Watch, small: Pair) -> None:
    """The reader's ranges are released after the change; ``tag``, which is duplicated, is in the end what ``secret`` was."""
    small.source.run_sql("UPDATE item SET tag = 'openly visible'", small.name)
    with watch(small, without="writer") as watched:
        installation: Installation = watched.installation
        search = watched.search()
        for change, undo, ends in CHANGES.values():
            stop = {"TAILRACE_CRASH_AT": "leader.in-preparing", "TAILRACE_CRASH_SIGNAL": "STOP"}
            (writer,) = installation.scale("writer", 1, **stop)
            run = installation.submit(SMALL_JOB.replace("due: mask.date", "due: null"))
            eventually(
                lambda one=writer: psutil.Process(one.pid).status() == psutil.STATUS_STOPPED, 60, "it is stopped"
            )  # type: ignore[misc]
            small.source.run_sql(change, small.name)
            writer.resume()
            record = installation.wait(run)
            assert record.state == ends, record.failure
            if ends == "failed":
                assert record.failure is not None
                told = record.failure.message + str(record.problems)
                assert "item.label" in told, "the plan made anew has no rule for it"
            for row in small.fetch("destination", "SELECT t::text AS line FROM item AS t"):
                search.text("item", row["line"])
            installation.scale("writer", 0)
            small.source.run_sql(undo, small.name)
            small.destination.run_sql("TRUNCATE item, note", small.name)
        watched.listen(search)
        for heard in watched.tap.records("masked"):
            search.text("masked values", *text_of(ipc.decode(heard.value)))
        search.nothing()
