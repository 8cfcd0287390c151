"""Inserting through a sequence works after a run, however the sequence comes to its column, in both regimes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import make_pair
from support.installation import Installation
from tailrace.embedded.postgres import EmbeddedPostgres

SCHEMA = """
CREATE SEQUENCE free_number; CREATE SEQUENCE "Late Number"; CREATE SEQUENCE kind_number; CREATE SEQUENCE down INCREMENT -1;
CREATE DOMAIN numbered AS bigint DEFAULT nextval('kind_number');
CREATE TABLE ticket (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  free bigint NOT NULL DEFAULT nextval('free_number') UNIQUE,
  late bigint NOT NULL DEFAULT nextval('public."Late Number"'::text) UNIQUE,
  mine numbered NOT NULL UNIQUE,
  below bigint NOT NULL DEFAULT nextval('down') UNIQUE,
  owned serial UNIQUE,
  code text DEFAULT 'T' || nextval('free_number'),
  note text
);
"""
ROWS = "INSERT INTO ticket (note) SELECT 'n' || i FROM generate_series(1, 400) i;"
JOB = """\
name: tickets
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", constraints: REGIME}
policy: pass
tables:
  public.ticket: {columns: {id: key, free: key, late: key, mine: key, below: key, owned: key}}
"""


@pytest.mark.parametrize("regime", ["bypass", "respect"])
def test_rows_are_inserted_through_every_sequence_afterwards(
    install: Callable[..., Installation], source: EmbeddedPostgres, destination: EmbeddedPostgres, regime: str
) -> None:
    pair = make_pair(f"tickets_{regime}", source, destination, SCHEMA, ROWS, owner=regime == "bypass")
    record = install(pair).run(JOB.replace("REGIME", regime))
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert sum(check.name.startswith("sequence ") for check in record.checks) == 6
    assert [p.where for p in record.problems if p.code == "plan.sequence-in-text"] == ["public.ticket.code"]
    insert = "INSERT INTO ticket (note) SELECT 'new' FROM generate_series(1, 200) RETURNING id"
    inserted = f"WITH made AS ({insert}) SELECT count(*) FROM made"
    assert pair.value("destination", inserted) == 200
    assert pair.value("destination", "SELECT max(below) FROM ticket WHERE note = 'new'") < -400  # type: ignore[operator]
