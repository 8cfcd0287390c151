"""What only the destination demands is counted in the source: proved, refused, or left to the load where nobody counted."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, errors, plain_index, plan, table, unique, warnings
from tailrace_shared.catalogue.model import Index, Table, TableName
from tailrace_shared.generators import MaskHash
from tailrace_shared.plan.demands import null_demand, questions, unique_demand
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import PlanResult

NAME = TableName(schema_name="public", name="t")
KEY = unique("a_key", "a")


def rules(**columns: str) -> str:
    return "policy: pass\ntables: {public.t: {columns: {" + ", ".join(f"{c}: {r}" for c, r in columns.items()) + "}}}"


def planned(result: PlanResult, about: str) -> tuple[str, str]:
    assert result.plan
    return next((p.verdict, p.reason) for p in result.plan.proofs if p.about == about)


def between(
    columns: str, theirs: str, indexes: tuple[Index, ...] = (), rule: str = "duplicate", **demands: int
) -> PlanResult:
    named = {null_demand(f"{NAME}.a"): demands["nulls"]} if "nulls" in demands else {}
    named |= {unique_demand(NAME, "a_key"): demands["groups"]} if "groups" in demands else {}
    here, there = catalogue(table("t", columns)), catalogue(table("t", theirs, indexes=indexes))
    return plan(rules(a=rule), here, there, facts=SourceFacts(demands=named))


def test_no_null_in_the_source_proves_not_null_and_one_refuses_it() -> None:
    proved = between("a text", "a text!", nulls=0)
    assert planned(proved, "public.t NOT NULL") == ("proved", "no NULL in the source, counted: a")
    assert not warnings(proved)
    assert errors(between("a text", "a text!", nulls=3)) == [("plan.null-in-source", "public.t.a")]
    assert ("plan.nullable-source", "public.t.a") in warnings(between("a text", "a text!"))


@pytest.mark.parametrize("rule", ["duplicate", "key"])
def test_rows_that_differ_prove_a_unique_index_and_equal_ones_refuse_it(rule: str) -> None:
    proved = between("a text", "a text", (KEY,), rule, groups=0)
    verdict, reason = planned(proved, "public.t unique a_key")
    assert verdict == "proved"
    assert "counted" in reason
    assert not warnings(proved)
    refused = between("a text", "a text", (KEY,), rule, groups=2)
    assert errors(refused) == [("plan.not-unique-in-source", "public.t index a_key")]


def test_counting_does_not_excuse_a_generator_that_may_collide() -> None:
    found = between("a text", "a text", (KEY,), "mask.hash", groups=0)
    assert planned(found, "public.t unique a_key")[0] == "estimated"
    assert isinstance(found.plan.tables[0].columns[0].rule, MaskHash)  # type: ignore[union-attr]


def asked(ours: Table, theirs: Table) -> list[str]:
    return list(questions(ours, theirs))


def made(*columns: str, indexes: tuple[Index, ...] = (), **changes: Any) -> Table:
    return table("t", *columns, indexes=indexes, **changes)


def test_only_what_the_source_does_not_guarantee_is_asked() -> None:
    theirs = made("a text!", "b text", indexes=(KEY, plain_index("i", "b"), unique("ab", "a", "b")))
    assert asked(made("a text!", "b text", indexes=(KEY,)), theirs) == []
    assert asked(made("a text", "b text"), theirs) == [
        "public.t.a not null", "public.t unique a_key", "public.t unique ab",
    ]  # fmt: skip


def test_an_equality_that_is_another_there_is_not_decided_by_counting_here() -> None:
    partial = unique("a_key", "a").model_copy(update={"predicate": "(a > 0)"})
    assert asked(made("a text"), made("a citext", indexes=(KEY,))) == []
    assert asked(made("a int4"), made("a int8", indexes=(KEY,))) == []
    assert asked(made("a int4"), made("a int4", indexes=(partial,))) == []


def test_questions_count_null_groups_only_where_nulls_are_equal() -> None:
    strict = unique("a_key", "a", nulls_not_distinct=True)
    (loose,) = questions(made("a int4"), made("a int4", indexes=(KEY,))).values()
    (equal,) = questions(made("a int4"), made("a int4", indexes=(strict,))).values()
    assert 'WHERE "a" IS NOT NULL GROUP BY' in loose
    assert "IS NOT NULL" not in equal
