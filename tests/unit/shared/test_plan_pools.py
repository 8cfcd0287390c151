"""Made rows that refer to carried ones: pools of keys in a plan, how large they are, and what stands against them."""

from __future__ import annotations

from math import inf

import pytest

from support.catalogues import catalogue, column_of, errors, foreign_key, plan, planned, table, unique, warnings
from tailrace_shared.generators import MakeReference, Null
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.pool_facts import POOL_ROWS_MAX, FanOutFacts, KeyFacts
from tailrace_shared.plan.pools import POOLS_BYTES, grouped, most_rows

PERSON = table(
    "person", "id int8!", "region int2!", "code int4!", primary=["id"], indexes=[unique("rc", "region", "code")]
)
BADGE = table("badge", "id int8!", "person_id int8!", primary=["id"], indexes=[unique("one", "person_id")])
VISIT = table("visit", "id int8!", "person_id int8", "region int2", "code int4", primary=["id"])
STAMP = table("stamp", "visit_id int8!", "at date", primary=["visit_id"])
KEYS = (
    foreign_key("badge", ["person_id"], "person"),
    foreign_key("visit", ["person_id"], "person"),
    foreign_key("visit", ["region", "code"], "person", ["region", "code"]),
    foreign_key("stamp", ["visit_id"], "visit"),
)
CITY = catalogue(PERSON, BADGE, VISIT, STAMP, keys=KEYS)
COUNTED = SourceFacts(keys={"public.person": KeyFacts(columns=("id", "region", "code"), rows=100, bytes=12.0)})
JOB = """\
policy: mask
tables:
  public.person: {columns: {id: key, region: key, code: key}}
  public.visit: {mode: generate, rows: 500}
  public.*: {mode: exclude}
"""


def test_references_to_carried_rows_are_drawn_from_one_pool_of_keys_as_they_arrive() -> None:
    found = planned(JOB, CITY, facts=COUNTED)
    (pool,) = found.pools
    tables = {t.name.name: t.number for t in found.tables}
    assert (pool.table, pool.drawn_by, pool.rows) == (tables["person"], (tables["visit"],), 100)
    assert pool.columns == ("id", "region", "code"), "two keys, one pool"
    for name in ("person_id", "region", "code"):
        column = column_of(found, f"visit.{name}")
        assert isinstance(column.rule, MakeReference)
        assert column.parent is not None
        assert column.parent.pool
        assert column.parent.rows == 100
    proved = [p for p in found.proofs if "visit foreign key" in p.about]
    assert [p.verdict for p in proved] == ["proved", "proved"]
    assert "100 keys of public.person" in proved[0].reason


def test_a_pool_is_said_to_hold_some_keys_where_there_are_more_than_it_takes() -> None:
    many = COUNTED.model_copy(
        update={"keys": {"public.person": KeyFacts(columns=("id",), rows=POOL_ROWS_MAX + 1, bytes=92.0)}}
    )
    found = planned(JOB, CITY, facts=many)
    assert found.pools[0].rows == (4 << 20) // 100, "half a message"
    assert [p.verdict for p in found.proofs if p.about == "public.person keys"] == ["estimated"]


@pytest.mark.parametrize(("pools", "room"), [(1, 4 << 20), (64, POOLS_BYTES // 64)])
def test_all_pools_together_are_bounded_in_bytes(pools: int, room: int) -> None:
    facts = KeyFacts(columns=("id",), rows=10**9, bytes=24.0)
    assert most_rows(facts, pools, 8 << 20) == room // 32
    assert most_rows(facts.model_copy(update={"bytes": 0.0}), 1, 8 << 20) == POOL_ROWS_MAX
    assert most_rows(facts.model_copy(update={"bytes": 1e9}), 1, 8 << 20) == 1


def test_one_to_one_references_differ_up_to_as_many_rows_as_there_are_keys() -> None:
    job = JOB.replace("public.visit", "public.badge").replace("rows: 500", "rows: 100")
    column = column_of(planned(job, CITY, facts=COUNTED), "badge.person_id")
    assert column.slot is not None
    assert column.slot.size == 100
    assert ("plan.capacity", "public.badge index one") in errors(
        plan(job.replace("rows: 100}", "rows: 101}"), CITY, facts=COUNTED)
    )


def test_without_a_carried_row_a_reference_is_null_and_said_to_be_or_the_plan_stops() -> None:
    nobody = SourceFacts(keys={"public.person": KeyFacts(columns=("id", "region", "code"), rows=0, bytes=0.0)})
    result = plan(JOB, CITY, facts=nobody)
    assert result.plan is not None
    assert isinstance(column_of(result.plan, "visit.person_id").rule, Null)
    assert not result.plan.pools
    assert ("plan.no-parent-rows", "public.visit.person_id") in warnings(result)
    badge = plan(JOB.replace("public.visit", "public.badge"), CITY, facts=nobody)
    assert ("plan.no-parent-rows", "public.badge.person_id") in errors(badge)


def test_keys_that_nobody_could_count_stop_the_plan() -> None:
    assert ("plan.keys-uncounted", "public.visit.person_id") in errors(plan(JOB, CITY))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("  public.stamp: {mode: generate, rows: 9}\n", None),
        ("  public.stamp: {mode: generate, rows: 600}\n", "plan.capacity"),
        ("  public.person: {mode: truncate}\n", None),
        ("  public.person: {columns: {id: null, region: key, code: key}}\n", "plan.no-parent-key"),
    ],
)
def test_what_follows_from_carried_keys_is_judged(more: str, expected: str | None) -> None:
    name = more.split(":")[0].strip()
    lines = [line for line in JOB.splitlines(keepends=True) if not line.strip().startswith(name)]
    text = "".join(lines[:-1]) + more + lines[-1]
    found = {code for code, _ in errors(plan(text, CITY, facts=COUNTED))}
    assert found == set() if expected is None else expected in found


def test_orders_wait_for_the_pools_that_their_parents_keys_are_of() -> None:
    """A table's key is a carried one's, and a third table refers to it."""
    owner = table("owner", "person_id int8!", primary=["person_id"])
    pet = table("pet", "id int8!", "owner_id int8!", primary=["id"])
    keys = (foreign_key("owner", ["person_id"], "person"), foreign_key("pet", ["owner_id"], "owner", ["person_id"]))
    source = catalogue(PERSON, owner, pet, keys=keys)
    facts = SourceFacts(keys={"public.person": KeyFacts(columns=("id",), rows=100, bytes=8.0)})
    job = JOB.replace("public.visit: {mode: generate, rows: 500}", "public.owner: {mode: generate, rows: 50}")
    made = planned(
        job.replace("public.*: {mode: exclude}", "public.pet: {mode: generate, rows: 70}"), source, facts=facts
    )
    tables = {t.name.name: t.number for t in made.tables}
    assert set(made.pools[0].drawn_by) == {tables["owner"], tables["pet"]}
    carried = plan(job.replace("public.*: {mode: exclude}", "public.pet: {columns: {id: key}}"), source, facts=facts)
    assert ("plan.pooled-key", "public.pet.owner_id") in errors(carried), "its rows are masked before the keys are read"


def test_learned_tables_refer_as_often_as_their_source_and_private_ones_evenly() -> None:
    counts = FanOutFacts(rows=260, nulls=60, parents=100, counts=((1, 40), (4, 40)))
    fan_outs = {"public.visit foreign key visit_person_id_fkey": counts}
    facts = COUNTED.model_copy(update={"fan_outs": fan_outs})
    job = JOB.replace("mode: generate", "mode: synthesize").replace("policy: mask", "policy: mask")
    column = column_of(planned(job, CITY, facts=facts), "visit.person_id")
    assert column.parent is not None
    assert column.parent.fan_out == ((20, 0), (40, 40), (40, 160))
    assert isinstance(column.rule, MakeReference)
    assert column.rule.null_share == 0.2308
    own = job.replace("rows: 500}", "rows: 500, columns: {person_id: make.reference}}")
    column = column_of(planned(own, CITY, facts=SourceFacts(keys=COUNTED.keys)), "visit.person_id")
    assert column.parent is not None
    assert column.parent.fan_out == ()


@pytest.mark.parametrize(
    ("counts", "parents", "k", "expected"),
    [
        (((1, 50), (2, 30), (900, 1)), 100, 10, ((19, 0), (50, 50), (31, 960))),
        (((1, 5), (2, 4)), 9, 10, ()),
        ((), 100, 10, ()),
        (((3, 12),), 12, 10, ((12, 36),)),
        (((1, 4), (2, 4), (3, 4)), 20, 10, ((20, 24),)),
    ],
)
def test_no_group_of_a_fan_out_is_of_fewer_parents_than_the_table_s_k(
    counts: tuple[tuple[int, int], ...], parents: int, k: int, expected: tuple[tuple[int, int], ...]
) -> None:
    facts = FanOutFacts(rows=sum(a * b for a, b in counts), nulls=0, parents=parents, counts=counts)
    found = grouped(facts, k)
    assert found == expected
    assert min((many for many, _ in found), default=inf) >= k


def test_many_different_counts_come_to_few_groups() -> None:
    counts = tuple((n, 20) for n in range(1, 3000))
    facts = FanOutFacts(rows=sum(a * b for a, b in counts), nulls=0, parents=60_000, counts=counts)
    found = grouped(facts, 10)
    assert len(found) < 150
    assert sum(rows for _, rows in found) == facts.rows
    assert sum(many for many, _ in found) == 60_000
