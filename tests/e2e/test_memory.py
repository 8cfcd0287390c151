"""What bounds memory and broker disk: sizes of batches, windows and credit, not the width of rows or the number of runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.meter import peak_megabytes

from support.databases import Pair
from support.installation import Installation
from tailrace.embedded.runtime import Runtime

MEGABYTE = 1 << 20
SERVICES = ("reader", "generator", "writer")
MEMORY_LIMIT_MB = 300
LOOK_S = 0.2
pytestmark = pytest.mark.timeout(1500)
"""Hundreds of megabytes on a machine that others may use; every wait has its own deadline."""
SCHEMA = """
CREATE TABLE letter (id int PRIMARY KEY, body text NOT NULL);
CREATE TABLE scan (id int PRIMARY KEY, picture text NOT NULL);
ALTER TABLE letter ALTER body SET STORAGE EXTERNAL;
ALTER TABLE scan ALTER picture SET STORAGE EXTERNAL;
"""
TEXT = (
    "(SELECT string_agg(encode(sha256((r * 100000 + i)::text::bytea), 'base64'), '') FROM generate_series(1, 23832) i)"
)
"""A megabyte that hardly compresses: 44 characters at a time."""
JOB = """
version: 1
name: wide
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
tables:
  public.letter: {columns: {id: key, body: mask.text}}
  public.scan: {mode: duplicate}
verify: {leak_sample: 10}
"""


def wide_rows(masked: int, plain: int) -> str:
    return (
        f"INSERT INTO letter SELECT r, {TEXT} FROM generate_series(1, {masked}) r;"
        f"INSERT INTO scan SELECT r, {TEXT} FROM generate_series({masked + 1}, {masked + plain}) r;"
    )


def peaks(installation: Installation) -> dict[str, float]:
    """Highest resident megabytes of each replica since its start, as the kernel counted them."""
    return {replica.name: peak_megabytes(replica.pid) for replica in installation.group.all()}


@contextmanager
def watched_disk(folder: Path) -> Iterator[list[int]]:
    """Bytes of the broker's log segments of batches, several times a second."""
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(LOOK_S):
            seen.append(sum(_size(f) for topic in ("raw", "masked") for f in folder.glob(f"*.{topic}.*/*.log")))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a segment that was deleted between the listing and the question
        return 0


@pytest.mark.parametrize(
    ("masked", "plain", "seconds"),
    [(30, 120, 120), pytest.param(500, 1550, 1200, marks=pytest.mark.long)],
    ids=["150 MB", "2 GB"],
)
def test_rows_of_a_megabyte_take_no_more_memory_than_others(
    install: Callable[..., Installation], new_pair: Callable[..., Pair], masked: int, plain: int, seconds: float
) -> None:
    pair = new_pair(f"wide_{masked}", SCHEMA, wide_rows(masked, plain))
    installation = install(pair)
    record = installation.run(JOB, seconds)
    assert record.state == "done", record.failure or record.problems
    query = "SELECT count(*), sum(hashtext(picture)::numeric) FROM scan"
    assert [*pair.fetch("source", query)[0]] == [*pair.fetch("destination", query)[0]]
    assert pair.value("destination", "SELECT count(*) FROM letter WHERE length(body) = 1048608") == masked
    seen = peaks(installation)
    print(f"\npeak memory in MB: {seen}")
    assert len(seen) == len(SERVICES)
    assert max(seen.values()) < MEMORY_LIMIT_MB, seen


def test_the_brokers_disk_stays_bounded_while_a_multiple_of_the_credit_passes(
    runtime: Runtime, install: Callable[..., Installation], new_pair: Callable[..., Pair]
) -> None:
    """The bound: credit on either topic, two segments per partition of each, since the broker deletes only whole ones, and what
    passes between two of the broker's looks."""
    if runtime.kafka is None:
        pytest.skip("brokers that TAILRACE_KAFKA names keep their logs elsewhere")
    partitions, segment, credit, rows, looks_s = 1, 32 * MEGABYTE, 8 * MEGABYTE, 960, 6.0
    pair = new_pair("disk", SCHEMA, wide_rows(1, rows))
    installation = install(pair, extra={"TAILRACE_HOUSEKEEPING_S": "0.5"})
    job = JOB + f"limits: {{credit_bytes: {credit}, range_bytes: {4 * MEGABYTE}, partitions: {partitions}}}\n"
    with watched_disk(runtime.directory / "kafka" / "log") as seen:
        record = installation.run(job, 300)
    assert record.state == "done", record.failure or record.problems
    passed = 2 * rows * MEGABYTE * 3 // 4  # encoded: base64 holds six bits of eight, twice on its way
    seconds = sum(size > 0 for size in seen) * LOOK_S
    bound = 2 * (credit + 2 * partitions * segment) + passed * min(1.0, looks_s / seconds)
    print(f"\nbroker disk: at most {max(seen) >> 20} MB of {passed >> 20} MB that passed, bound {int(bound) >> 20} MB")
    assert 0 < max(seen) < bound
    assert 2 * max(seen) < passed


@pytest.mark.parametrize(
    ("rows", "table", "place"), [("letter", "public.letter", "row"), ("scan", "public.scan", "row")]
)
def test_a_row_above_the_message_limit_fails_the_run_by_table_place_and_setting(
    install: Callable[..., Installation], new_pair: Callable[..., Pair], rows: str, table: str, place: str
) -> None:
    large = f"INSERT INTO {rows} SELECT r, repeat('a', CASE r WHEN 3 THEN 9 << 20 ELSE 10 END) FROM generate_series(1, 5) r;"
    installation = install(new_pair(f"large_{rows}", SCHEMA, large))
    record = installation.run(JOB)
    assert record.state == "failed"
    assert record.failure is not None
    for word in (table, f"{place} 3 of", "range 0"):
        assert word in record.failure.message
    assert "limits.message_bytes" in record.failure.remedy


def test_a_row_just_below_the_message_limit_passes(
    install: Callable[..., Installation], new_pair: Callable[..., Pair]
) -> None:
    """What every row of up to seven eighths of a message may rely on, however badly it compresses."""
    below = "(SELECT left(string_agg(encode(sha256(i::text::bytea), 'base64'), ''), 7 << 20) FROM generate_series(1, 170000) i)"
    pair = new_pair(
        "below", SCHEMA, f"INSERT INTO scan SELECT 1, {below}; INSERT INTO letter SELECT 1, left({below}, 7300000);"
    )
    installation = install(pair)
    record = installation.run(JOB, 120)
    assert record.state == "done", record.failure or record.problems
    assert pair.value("destination", "SELECT length(picture) FROM scan") == 7 * MEGABYTE
    assert max(peaks(installation).values()) < MEMORY_LIMIT_MB


def test_a_row_that_masking_grows_above_the_limit_fails_the_run_by_table_place_and_setting(
    install: Callable[..., Installation], new_pair: Callable[..., Pair]
) -> None:
    schema = "CREATE TABLE grown (id int PRIMARY KEY, a text NOT NULL, b text NOT NULL, c text NOT NULL);"
    rows = "INSERT INTO grown SELECT r, repeat('x', CASE r WHEN 2 THEN 57280 ELSE 1 END), 'y', 'z' FROM generate_series(1, 4) r;"
    job = JOB.split("tables:")[0] + (
        "tables:\n  public.grown: {columns: {id: duplicate, a: mask.text, b: {generator: mask.hash, length: 32}, "
        "c: {generator: mask.hash, length: 32}}}\n"
        f"limits: {{message_bytes: {1 << 16}}}\n"
    )
    record = install(new_pair("grown", schema, rows)).run(job)
    assert record.state == "failed"
    assert record.failure is not None
    assert "masked row 1 of batch 1 of range 0 of public.grown" in record.failure.message
    assert "limits.message_bytes" in record.failure.remedy


def test_four_runs_at_once_share_the_memory_of_one(
    install: Callable[..., Installation], new_pair: Callable[..., Pair]
) -> None:
    pairs = [new_pair(f"four_{n}", SCHEMA, wide_rows(8, 24)) for n in range(4)]
    extra = {f"SOURCE_{n}": pair.source_url for n, pair in enumerate(pairs)}
    extra |= {f"DESTINATION_{n}": pair.destination_url for n, pair in enumerate(pairs)}
    installation = install(pairs[0], extra=extra)
    started = time.monotonic()
    runs = [
        installation.submit(
            JOB.replace("${SOURCE_URL}", f"${{SOURCE_{n}}}").replace("${DESTINATION_URL}", f"${{DESTINATION_{n}}}")
        )
        for n in range(4)
    ]
    for run in runs:
        record = installation.wait(run, seconds=150)
        assert record.state == "done", record.failure or record.problems
    seen = peaks(installation)
    print(f"\nfour runs, {time.monotonic() - started:.0f} s, peak memory in MB: {seen}")
    assert max(seen.values()) < MEMORY_LIMIT_MB, seen
