"""Checks and foreign keys that only the destination demands: counted in the source where that is harmless and decides something."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, errors, foreign_key, plan, table, warnings
from tailrace_shared.catalogue.model import CheckConstraint, TableName
from tailrace_shared.plan.demanded_checks import check_demand, check_question
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.filters import ScopeFacts
from tailrace_shared.plan.model import PlanResult

NAME = TableName(schema_name="public", name="t")


def check(definition: str, *columns: str, domain: str = "") -> CheckConstraint:
    return CheckConstraint(name="c", definition=definition, columns=columns or ("a",), domain=domain)


def asked(definition: str, *columns: str, ours: str = "a int4", theirs: str = "a int4", domain: str = "") -> str | None:
    return check_question(table("t", ours), table("t", theirs), check(definition, *columns, domain=domain))


@pytest.mark.parametrize(
    "definition",
    [
        "CHECK ((a > 0))",
        "CHECK ((a > 0)) NOT VALID",
        "CHECK ((lower(a) = ANY (ARRAY['f('::text, 'it''s g('::text])))",
        "CHECK ((((a)::numeric(10,2) >= (0)::numeric) AND (a IS NOT NULL)))",
        "CHECK (((date_part('year'::text, a) > (1999)::double precision) OR (char_length(btrim(a)) < 9)))",
    ],
)
def test_what_only_computes_is_asked(definition: str) -> None:
    question = asked(definition)
    assert question is not None
    assert question.startswith('SELECT count(*) FROM "public"."t" WHERE NOT (')
    assert "NOT VALID" not in question


@pytest.mark.parametrize(
    "definition",
    [
        "CHECK (fine(a))",
        "CHECK (public.fine(a))",
        'CHECK ("F"(a))',
        'CHECK (public."F" (a))',
        "CHECK ((a OPERATOR(public.>) 0))",
        "CHECK ((pg_read_file('x') = a))",
        "CHECK ((query_to_xml('select 1', true, true, '') IS NULL))",
        "CHECK ((a > 0)); DROP TABLE t",
        "FOREIGN KEY (a)",
    ],
)
def test_what_could_do_anything_is_not_asked_of_the_source(definition: str) -> None:
    assert asked(definition) is None


def test_what_is_not_the_same_on_both_sides_is_not_asked() -> None:
    assert asked("CHECK ((a > 0))", theirs="a int8") is None
    assert asked("CHECK ((b > 0))", "b") is None
    assert asked("CHECK ((VALUE > 0))", domain="positive") is None


def between(rule: str = "duplicate", **counted: int) -> PlanResult:
    demand = check("CHECK ((a > 0))")
    facts = SourceFacts(demands={check_demand(NAME, demand): n for n in counted.values()})
    rules = f"policy: pass\ntables: {{public.t: {{columns: {{a: {rule}}}}}}}"
    return plan(rules, catalogue(table("t", "a int4")), catalogue(table("t", "a int4", checks=(demand,))), facts=facts)


def test_a_check_that_no_row_breaks_is_not_spoken_of_and_one_that_some_break_is_refused() -> None:
    assert not warnings(between(broken=0))
    assert errors(between(broken=0)) == []
    assert errors(between(broken=2)) == [("plan.check-broken-in-source", "public.t check c")]
    assert [code for code, _ in warnings(between())] == ["plan.check-in-destination-only"]


def keys(validated: bool, orphans: int | None, regime: str = "bypass", **there: Any) -> PlanResult:
    key = foreign_key("child", ["up"], "parent")
    tables = (table("parent", "id int4!"), table("child", "up int4"))
    ours = catalogue(*tables, keys=(key.model_copy(update={"validated": False}),))
    theirs = catalogue(*tables, keys=(key.model_copy(update={"validated": validated}),), **there)
    found = {} if orphans is None else {"public.child foreign key child_up_fkey": orphans}
    rules = "policy: pass\ntables: {public.parent: {mode: duplicate}, public.child: {mode: duplicate}}\n"
    rules += f'destination: {{url: "${{DESTINATION}}", constraints: {regime}}}\n'
    return plan(rules, ours, theirs, facts=SourceFacts(rows=ScopeFacts(orphans=found)))


def codes(result: PlanResult) -> list[str]:
    return [problem.code for problem in result.problems if "foreign-key" in problem.code]


def test_rows_that_point_nowhere_stay_under_a_key_that_is_not_valid_where_nobody_tests_it() -> None:
    assert codes(keys(False, 2)) == ["plan.foreign-key-not-valid"]
    assert errors(keys(False, 2)) == []
    assert errors(keys(True, 2)) == [("plan.foreign-key-broken-in-source", "public.child foreign key child_up_fkey")]
    assert codes(keys(True, 0)) == codes(keys(False, 0)) == []
    assert codes(keys(True, None)) == ["plan.foreign-key-in-destination-only"]


def test_in_respect_it_is_the_replica_role_that_lets_them_in() -> None:
    assert codes(keys(False, 2, "respect", can_replicate=True)) == ["plan.foreign-key-not-valid"]
    assert codes(keys(False, 2, "respect", can_replicate=False)) == ["plan.foreign-key-broken-in-source"]
