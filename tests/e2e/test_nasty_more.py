"""The schema that holds everything tools trip over, in less usual ways: made anew, in part, and one of its views as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import DATABASES, make_pair
from support.installation import Installation
from support.nasty import PEOPLE, SECRET, make_nasty
from support.structure import structure
from tailrace.embedded.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CREATE = """\
name: nasty-made
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: create}
schemas: [public, Mixed Case, "ünïcode 😀", extension]
policy: pass
"""
PARTLY = """
name: nasty-part
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
schemas: [public, Mixed Case, "ünïcode 😀"]
policy: pass
missing_parents: exclude
tables:
  public.chapter: {where: "number % 3 > 0", missing_parents: nullify}
  public.set_null_some: {missing_parents: nullify}
  public.booking: {where: "region <> 'south'", missing_parents: nullify}
  public.hashed: {missing_parents: nullify}
  public.employee_view: {key: [employee_id], columns: {last_name: mask.text}}
"""


def test_it_is_made_in_an_empty_database(
    install: Callable[..., Installation], source: EmbeddedPostgres, destination: EmbeddedPostgres
) -> None:
    schema, rows = (DATABASES / "nasty.sql").read_text(), (DATABASES / "nasty_rows.sql").read_text()
    pair = make_pair("nasty_made", source, destination, schema, f"\\set people {PEOPLE}\n{rows}", structure="")
    pair.grant("source", "bypass policies in the source")
    pair.grant("destination", "bypass policies")

    record = install(pair, mask_secret=SECRET).run(CREATE, seconds=240)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert structure(pair, "destination") == structure(pair, "source")
    assert pair.digest() == pair.digest("source")


def test_part_of_it_arrives_and_a_view_as_a_table(
    install: Callable[..., Installation], source: EmbeddedPostgres, destination: EmbeddedPostgres, tmp_path: Path
) -> None:
    nasty = make_nasty("nasty_part", "bypass", source, destination, tmp_path)
    destination.run_sql(
        "DROP VIEW employee_view; SET ROLE nasty_part_loader; "
        "CREATE TABLE employee_view (employee_id bigint PRIMARY KEY, last_name text, folded text)",
        "nasty_part",
    )
    before = nasty.catalogue()

    record = install(nasty.pair, mask_secret=SECRET).run(PARTLY, seconds=240)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert nasty.catalogue() == before
    left = {
        "chapter": "number % 3 > 0", "paragraph": "chapter % 3 > 0", "booking": "region <> 'south'", "receipt": "region <> 'south'",
        "hashed": "true", "set_null_some": "true", "employee": "true",
    }  # fmt: skip
    for table, condition in left.items():
        want = nasty.pair.value("source", f"SELECT count(*) FROM {table} WHERE {condition}")
        assert nasty.pair.value("destination", f"SELECT count(*) FROM {table}") == want, table
    assert nasty.pair.value("destination", "SELECT count(*) FROM hashed WHERE receipt_id IS NULL") > nasty.pair.value(
        "source", "SELECT count(*) FROM hashed WHERE receipt_id IS NULL"
    )
    seen = "SELECT count(*), count(DISTINCT employee_id), sum(employee_id) FROM employee_view"
    assert nasty.pair.fetch("destination", seen) == nasty.pair.fetch("source", seen)
