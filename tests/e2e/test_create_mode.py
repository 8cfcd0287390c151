"""Destination mode ``create``: what is not there is made as the source has it, loaded bare, and gone again on failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Pair, make_pair
from support.installation import Installation, eventually
from support.structure import structure
from tailrace.embedded.postgres import EmbeddedPostgres

HERE = Path(__file__).parent / "databases"
JOB = """\
name: made
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: create}
policy: pass
schemas: [public, "Odd schema"]
tables: {public.left_out: {mode: exclude}, public.emptied: {mode: truncate}}
limits: {rows_per_batch: 100, range_bytes: 8192, partitions: 3}
"""


def carried_structure(pair: Pair) -> list[tuple[str, ...]]:
    """What the workshop has without the table that the job excludes, and without what cannot be without it."""
    lost = ("left_out", "v_lost", "vv", "person_lo_fkey")
    return [row for row in structure(pair, "source") if not any(word in " ".join(row) for word in lost)]


def empty_pair(name: str, source: EmbeddedPostgres, destination: EmbeddedPostgres, schema: str, rows: str = "") -> Pair:
    """A destination that holds nothing, and a role that may create in it."""
    return make_pair(name, source, destination, schema, rows, structure="")


def untouched(pair: Pair) -> bool:
    """Nothing is there but Tailrace's own tables."""
    objects = (
        "SELECT count(*) FROM (SELECT relnamespace AS space FROM pg_class UNION ALL SELECT typnamespace FROM pg_type "
        "UNION ALL SELECT pronamespace FROM pg_proc) o JOIN pg_namespace n ON n.oid = o.space "
        "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tailrace') AND n.nspname NOT LIKE 'pg\\_temp%'"
    )
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('other', 'Odd schema')"
    extensions = "SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql'"
    return [pair.value("destination", query) for query in (objects, schemas, extensions)] == [0, 0, 0]


@pytest.fixture(scope="module")
def pair(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Pair:
    made = empty_pair("made", source, destination, (HERE / "workshop.sql").read_text())
    made.grant("source", "bypass policies in the source")
    source.run_sql("ANALYZE", "made")
    return made


def test_what_the_source_has_is_made_loaded_and_equal(install: Callable[..., Installation], pair: Pair) -> None:
    installation = install(pair, replicas={"writer": 2})
    record = installation.run(JOB)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert structure(pair, "destination") == carried_structure(pair)
    warned = {(p.code, p.where) for p in record.problems}
    assert ("plan.create-without", "view public.v_lost") in warned
    assert ("plan.create-without", "fk constraint person_lo_fkey on public.person") in warned
    theirs = {t: d for t, d in pair.digest("source").items() if t not in ("public.left_out", "public.emptied")}
    assert pair.digest() == theirs | {"public.emptied": (0, 0)}
    assert pair.value("destination", "SELECT c FROM mv") == 900
    assert pair.value("destination", "SELECT count(*) FROM person WHERE note = 'TRIGGERED; really'") == 0
    assert pair.value("destination", "INSERT INTO person (name) VALUES ('new') RETURNING id") > 900  # type: ignore[operator]
    second = installation.run(JOB)
    assert second.failure is not None
    assert second.failure.code == "plan.refused"
    assert {p.code for p in second.problems if p.severity == "error"} == {"plan.create-exists"}
    eventually(lambda: not installation.topics_left(), 60, "the runs' topics are gone")


@pytest.fixture(scope="module")
def fresh(source: EmbeddedPostgres, destination: EmbeddedPostgres, pair: Pair) -> Callable[[str], Pair]:
    """The same source again, with an empty destination."""

    def make(name: str) -> Pair:
        source.create_database(name, template="made")
        source.run_sql(f"CREATE ROLE {name}_reader LOGIN PASSWORD 'x' BYPASSRLS IN ROLE made_reader")
        destination.create_database(name)
        destination.run_sql(f"CREATE ROLE {name}_loader LOGIN PASSWORD 'x'")
        empty = Pair(name, source, destination, "x")
        empty.grant("destination", "keep state", "create in schemas")
        return empty

    return make


@pytest.mark.parametrize(
    ("service", "point", "attempt"),
    [
        pytest.param("writer", "leader.after-create", 1, marks=pytest.mark.long),
        ("writer", "leader.mid-rebuild:2", 1),
        (
            "reader",
            "reader.mid-range:3",
            2,
        ),  # with its only reader the snapshot is gone: what was made goes, and is made anew
    ],
)
def test_whoever_is_killed_the_destination_is_finished(
    install: Callable[..., Installation], fresh: Callable[[str], Pair], service: str, point: str, attempt: int
) -> None:
    pair = fresh("".join(c for c in f"killed_{point}" if c.isalnum() or c == "_").replace("-", "_"))
    installation = install(pair, replicas={service: 0})
    (doomed,) = installation.scale(service, 1, TAILRACE_CRASH_AT=point)
    run = installation.submit(JOB)
    eventually(lambda: not doomed.alive, 60, f"{point} was reached")
    installation.scale(service, 1)
    record = installation.wait(run, seconds=90)
    assert record.state == "done", record.failure
    assert record.attempt == attempt
    assert [check for check in record.checks if not check.passed] == []
    assert structure(pair, "destination") == carried_structure(pair)
    assert pair.value("destination", "SELECT count(*) FROM person") == 900


def test_a_run_that_fails_late_leaves_the_destination_as_it_was(
    install: Callable[..., Installation], fresh: Callable[[str], Pair]
) -> None:
    pair = fresh("refusing")
    pair.destination.run_sql(
        "CREATE FUNCTION pg_catalog.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
        "CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION pg_catalog.refuse()",
        pair.name,
    )
    installation = install(pair)
    record = installation.run(JOB)
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == "finish.rebuild"
    assert "trigger t on public.person cannot be made" in record.failure.message
    assert untouched(pair)
    pair.destination.run_sql("DROP EVENT TRIGGER refuse", pair.name)
    assert installation.run(JOB).state == "done"
    assert structure(pair, "destination") == carried_structure(pair)
