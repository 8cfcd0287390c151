"""Keys of carried rows in a pool, and the rows that draw them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from support.catalogues import catalogue, foreign_key, planned, table, unique
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.kernels.draws import fanned
from tailrace_generator.making import TableMaker
from tailrace_generator.masking import TableMasker
from tailrace_generator.pool import Pool
from tailrace_generator.pooling import masked_pool
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.pool_facts import KeyFacts

SECRET = MaskSecret(bytes(range(32)))
CITY = catalogue(
    table("person", "id int8!", "tag uuid!", "name text!", primary=["id", "tag"], indexes=[unique("t", "tag")]),
    table("badge", "id int8!", "tag uuid!", primary=["id"], indexes=[unique("one", "tag")]),
    table("visit", "id int8!", "person_id int8", "tag uuid", primary=["id"]),
    keys=(
        foreign_key("badge", ["tag"], "person", ["tag"]),
        foreign_key("visit", ["person_id", "tag"], "person", ["id", "tag"]),
    ),
)
JOB = """\
policy: mask
tables:
  public.person: {columns: {id: key, tag: key, name: mock.full_name}}
  public.badge: {mode: generate, rows: 40}
  public.visit: {mode: generate, rows: 3000}
"""
FACTS = SourceFacts(keys={"public.person": KeyFacts(columns=("id", "tag"), rows=40, bytes=40.0)})
PERSONS = pa.record_batch(
    {
        "id": pa.array(range(1000, 1040), pa.int64()),
        "tag": pa.array([bytes([n] * 16) for n in range(40)], pa.binary(16)),
        "name": pa.array([f"Name {n}" for n in range(40)]),
    }
)


def drawn(plan: Plan, keys: pa.RecordBatch) -> dict[str, pa.Table]:
    workshop = Workshop(plan, SECRET)
    (pool,) = plan.pools
    body = masked_pool(plan, pool.table, keys, SECRET, workshop)
    workshop.take_pool(pool.table, Pool("d", body))
    made = {t.name.name: t for t in plan.tables if t.mode == "generate"}
    return {name: pa.Table.from_batches([TableMaker(t, workshop)(0, t.rows)]) for name, t in made.items()}


def test_every_made_reference_leads_to_a_carried_row_as_it_arrives() -> None:
    plan = planned(JOB, CITY, facts=FACTS)
    person = next(t for t in plan.tables if t.name.name == "person")
    arrived = TableMasker(person, SECRET)(PERSONS)
    pairs = set(zip(arrived["id"].to_pylist(), arrived["tag"].to_pylist(), strict=True))
    rows = drawn(plan, PERSONS.select(["id", "tag"]))
    visits = Counter(zip(rows["visit"]["person_id"].to_pylist(), rows["visit"]["tag"].to_pylist(), strict=True))
    assert set(visits) == pairs, "both columns of one row, all rows are referred to"
    assert max(visits.values()) < 130
    assert sorted(rows["badge"]["tag"].to_pylist()) == sorted(arrived["tag"].to_pylist()), "one to one"


def test_a_pool_says_nothing_of_the_order_of_the_originals() -> None:
    plan = planned(JOB, CITY, facts=FACTS)
    keys, number = PERSONS.select(["id", "tag"]), plan.pools[0].table
    body = masked_pool(plan, number, keys, SECRET, Workshop(plan, SECRET))
    backwards = keys.take(pa.array(range(39, -1, -1)))
    assert masked_pool(plan, number, backwards, SECRET, Workshop(plan, SECRET)) == body
    assert drawn(plan, keys)["visit"] == drawn(plan, backwards)["visit"]


def test_a_pool_of_another_size_than_planned_is_refused_and_none_is_said() -> None:
    plan = planned(JOB, CITY, facts=FACTS)
    with pytest.raises(TerminalError, match="39 keys, planned are 40"):
        drawn(plan, PERSONS.select(["id", "tag"]).slice(0, 39))
    visit = next(t for t in plan.tables if t.name.name == "visit")
    with pytest.raises(TerminalError, match="their keys are not there"):
        TableMaker(visit, Workshop(plan, SECRET))


@pytest.mark.parametrize(
    ("rows", "size", "groups", "expected"),
    [
        (200, 100, ((20, 0), (40, 40), (40, 160)), {0: 20, 1: 40, 4: 40}),
        (400, 100, ((20, 0), (40, 40), (40, 160)), {0: 20, 2: 40, 8: 40}),
        (200, 100, ((50, 50), (50, 125)), {}),
        (7, 3, ((100, 0),), {}),
        (5, 1, ((9, 10), (1, 100)), {5: 1}),
        (1, 5_000_000, ((10, 10),), {}),
    ],
)
def test_parents_get_as_many_rows_as_in_the_source(
    rows: int, size: int, groups: tuple[tuple[int, int], ...], expected: dict[int, int]
) -> None:
    found = fanned(SECRET, "visit key", rows, size, groups)(np.arange(rows, dtype=np.int64))
    assert found.min() >= 0
    assert found.max() < size
    assert len(found) == rows
    counts = np.bincount(found, minlength=size) if size < 1000 else np.zeros(1, np.int64)
    if expected:
        assert Counter(counts.tolist()) == expected
    halves = [fanned(SECRET, "visit key", rows, size, groups)(np.array([n], np.int64))[0] for n in range(min(rows, 50))]
    assert halves == found[:50].tolist(), "row by row as all at once"


def test_who_is_referred_to_most_is_not_who_comes_first() -> None:
    found = fanned(SECRET, "visit key", 1000, 100, ((90, 90), (10, 910)))(np.arange(1000, dtype=np.int64))
    busy = np.flatnonzero(np.bincount(found, minlength=100) > 20)
    assert len(busy) == 10
    assert busy.tolist() != list(range(90, 100))
    assert len(set(np.diff(found[:50]).tolist())) > 5, "rows of one parent are not next to each other"
