"""A database of what the schemas of real applications taught: drafted, planned without a warning, run, and nobody arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.databases import DATABASES, make_pair
from support.installation import Installation
from support.journey import unlike
from support.nasty import SECRET, Nasty, joined
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime

PERSONAL = ("canary", "mara", "ghent", "login-")
"""What is in the values of the source's personal columns, in any case of letters."""


@pytest.fixture(scope="module")
def booking(source: EmbeddedPostgres, destination: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Nasty:
    schema, rows = ((DATABASES / f"booking{part}.sql").read_text() for part in ("", "_rows"))
    pair = make_pair("booking", source, destination, schema, rows + "ANALYZE;")
    folder: Path = tmp_path_factory.mktemp("booking")
    ends = {"SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url}
    drafted = Nasty(pair, folder / "job.yaml", {"TAILRACE_MASK_SECRET": SECRET} | ends)
    drafted.draft()
    return drafted


def test_every_check_and_unique_index_of_the_drafted_job_is_proved(booking: Nasty) -> None:
    """By what the generators keep, or by the source's rows, with what columns become in its place."""
    plan = booking.plan()
    assert [f"{w.code} {w.where}" for w in plan.warnings] == []
    assert [p.about for p in plan.proofs if p.verdict == "verified-after"] == []
    counted = {p.about for p in plan.proofs if "no row of the source breaks it with" in p.reason}
    assert {"public.survey_entry check survey_entry_check", "public.bank_card check bank_card_check1"} <= counted


def test_it_arrives_as_the_source_joins_and_nobody_with_it(booking: Nasty, runtime: Runtime) -> None:
    pair = booking.pair
    with Installation(runtime, pair, mask_secret=SECRET) as installation:
        record = installation.run(booking.job)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    _, found = unlike(booking, booking.plan())
    assert found == []
    tables = {f"public.{table.name.name}" for table in booking.plan().tables}
    assert joined(pair, "destination", tables) == joined(pair, "source", tables)
    arrived = "SELECT count(*) FROM {} t WHERE t::text ~* '{}'"
    left = [(t, w) for t in pair.tables("source") for w in PERSONAL if pair.value("destination", arrived.format(t, w))]
    assert left == []
