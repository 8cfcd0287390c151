"""Learned tables in a plan: checks that a model keeps, partitions that hold what it draws, tables too small to learn from."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, table
from support.catalogues import plan as plan_of
from tailrace_shared.catalogue.model import CheckConstraint, Partition, Table, TableName
from tailrace_shared.generators import Ai, Key
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.learning_facts import LearningFacts, fewest
from tailrace_shared.plan.model import PlanResult


def thing(*columns: str, checks: dict[str, tuple[str, ...]] | None = None, **changes: Any) -> Table:
    made = table("thing", "id int4!", *columns, primary=["id"])
    given = tuple(
        CheckConstraint(name=f"c{place}", definition=f"CHECK ({text})", columns=names)
        for place, (text, names) in enumerate((checks or {}).items())
    )
    return made.model_copy(update={"checks": given, "rows": 9000.0} | changes)


def planned(
    source: Table, rule: str = "{mode: synthesize}", facts: SourceFacts | None = None, **changes: Any
) -> PlanResult:
    there = catalogue(source.model_copy(update=changes)) if changes else catalogue(source)
    given = {"facts": facts} if facts else {}
    return plan_of(f"policy: halt\ntables:\n  public.thing: {rule}\n", catalogue(source), there, **given)


def said(result: PlanResult, code: str) -> list[str]:
    return [problem.message for problem in result.problems if problem.code == f"plan.{code}"]


def ordered(result: PlanResult) -> tuple[tuple[str, str], ...]:
    assert result.plan is not None, result.problems
    learning = result.plan.tables[0].learning
    assert learning is not None
    return learning.ordered


@pytest.mark.parametrize(
    ("check", "columns", "pair"),
    [
        ("(a < b)", ("a int4!", "b int4!"), ("a", "b")),
        ("(b > a)", ("a int4!", "b int4!"), ("a", "b")),
        ("(a <= b)", ("a int4", "b numeric(10,2)"), ("a", "b")),
        ("((b)::numeric >= (a)::numeric)", ("a int4", "b int4"), ("a", "b")),
        ('("A ""x""" <= b)', ('A "x" date', "b date"), ('A "x"', "b")),
    ],
)
def test_an_order_that_a_check_demands_is_built_into_the_model(
    check: str, columns: tuple[str, ...], pair: tuple[str, str]
) -> None:
    if '"' in check:
        columns = ("a date", "b date")
        source = thing(*columns, checks={check: ('A "x"', "b")})
        renamed = tuple(c.model_copy(update={"name": 'A "x"'}) if c.name == "a" else c for c in source.columns)
        source = source.model_copy(update={"columns": renamed})
    else:
        source = thing(*columns, checks={check: ("a", "b")})
    result = planned(source)
    assert ordered(result) == (pair,)
    assert not said(result, "check")


@pytest.mark.parametrize(
    ("checks", "rule"),
    [
        ({"(a < b)": ("a", "b")}, "{mode: synthesize, train: {epsilon: 3}}"),
        ({"(a < b)": ("a", "b")}, "{mode: synthesize, columns: {b: {generator: ai, low: 3}}}"),
        ({"(a < b)": ("a", "b"), "(b <= 100)": ("b",)}, "{mode: synthesize}"),
        ({"(a < (b + 1))": ("a", "b")}, "{mode: synthesize}"),
    ],
)
def test_where_it_cannot_be_built_in_the_plan_warns(checks: dict[str, tuple[str, ...]], rule: str) -> None:
    result = planned(thing("a int4!", "b int4!", checks=checks), rule)
    assert ordered(result) == ()
    assert said(result, "check")


def test_bounds_and_lists_that_the_source_s_rows_keep_are_proved() -> None:
    checks = {
        "((age >= 0) AND (age <= 120))": ("age",),
        "(state = ANY (ARRAY['x'::text, 'y'::text]))": ("state",),
    }
    source = thing("age int4", "state text", checks=checks)
    result = planned(source)
    assert result.plan is not None
    assert not said(result, "check")
    rules = {column.name: column.rule for column in result.plan.tables[0].columns}
    assert isinstance(rules["state"], Ai)
    assert rules["state"].form == "category", "a pattern would make other texts"
    elsewhere = plan_of(
        "policy: halt\ntables:\n  public.thing: {mode: synthesize}\n",
        catalogue(source.model_copy(update={"checks": ()})),
        catalogue(source),
    )
    assert len(said(elsewhere, "check")) == 2, "the source's rows need not keep them"


def part(number: int, bound: str) -> Partition:
    name = TableName(schema_name="public", name=f"thing_{number}")
    return Partition(name=name, oid=number, filenode=number, pages=1, rows=10, bytes=8192, bounds=(bound,))


YEARS = [f"FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')" for year in (2020, 2021, 2023)]


@pytest.mark.parametrize(
    ("type_", "bounds", "inside"),
    [
        ("date!", YEARS[:2], True),
        ("date!", YEARS, False),
        ("date!", [YEARS[0], YEARS[2], "DEFAULT"], True),
        ("text!", ["FOR VALUES IN ('a', 'b')", "FOR VALUES IN ('c')"], True),
    ],
)
def test_what_is_drawn_between_the_source_s_extremes_has_a_partition_where_none_is_missing(
    type_: str, bounds: list[str], inside: bool
) -> None:
    parts = tuple(part(number, bound) for number, bound in enumerate(bounds, 10))
    made = table("thing", "id int4!", f"by {type_}")
    source = made.model_copy(update={"kind": "p", "partitions": parts, "bounded_columns": ("by",), "rows": 9000.0})
    assert bool(said(planned(source), "partition-key")) is not inside


def test_an_empty_table_stays_empty_and_nothing_is_learned() -> None:
    facts = SourceFacts(learning=LearningFacts(rows={"public.thing": 0}, few={"public.thing": 0}))
    result = planned(thing("a int4", rows=0.0), facts=facts)
    assert result.plan is not None, result.problems
    assert (result.plan.tables[0].rows, result.plan.tables[0].learning) == (0, None)


def test_a_table_that_was_never_analysed_is_counted() -> None:
    facts = SourceFacts(learning=LearningFacts(rows={"public.thing": 700}))
    result = planned(thing("a int4", rows=-1.0), facts=facts)
    assert result.plan is not None, result.problems
    assert result.plan.tables[0].rows == 700


def test_too_few_rows_and_values_that_nobody_shares_are_refused_before_anything_is_read() -> None:
    facts = SourceFacts(learning=LearningFacts(few={"public.thing": 1}))
    (few,) = said(planned(thing("a int4"), facts=facts), "learn-too-few")
    assert few.startswith("the source has 1 row, and at least 65 are needed")
    assert fewest(10) == 65
    facts = SourceFacts(learning=LearningFacts(alone=frozenset({"public.thing.doc"})))
    (alone,) = said(planned(thing("doc jsonb"), facts=facts), "learn-alone")
    assert "jsonb" in alone
    other = planned(thing("doc jsonb"), "{mode: synthesize, columns: {doc: null}}", facts=facts)
    assert not said(other, "learn-alone")


def test_a_uuid_that_may_be_null_is_so_as_often_as_it_was() -> None:
    result = planned(thing("may uuid", "must uuid!"))
    assert result.plan is not None
    rules = {column.name: type(column.rule) for column in result.plan.tables[0].columns}
    assert rules == {"id": Key, "may": Ai, "must": Key}
