"""Checks and foreign keys that only the destination demands: counted in the source where that is harmless and decides something."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, errors, foreign_key, plan, table, warnings
from tailrace_shared.catalogue.model import CheckConstraint, Partition, Table, TableName
from tailrace_shared.plan.demanded_checks import check_demand, check_question, partition_demand, partition_question
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


def parted(*takes: str, bounded: bool = True, columns: str = "a int4") -> Table:
    leaves = tuple(
        Partition(
            name=TableName(schema_name="public", name=f"t{number}"), oid=2 + number, filenode=2, pages=1, rows=1, bytes=8192,
            bounds=(one,), takes=one,
        )
        for number, one in enumerate(takes)
    )  # fmt: skip
    keys = {"partition_columns": ("a",), "bounded_columns": ("a",) if bounded else ()}
    return table("t", columns, kind="p", partitions=leaves, **keys)


LOW, HIGH = "((a IS NOT NULL) AND (a >= 0) AND (a < 10))", "((a IS NOT NULL) AND (a >= 10))"


def test_rows_without_a_partition_there_are_counted_in_the_source() -> None:
    asked_of_rows = f'SELECT count(*) FROM "public"."t" WHERE ({LOW}) IS NOT TRUE'
    assert partition_question(parted(LOW, HIGH), parted(LOW)) == asked_of_rows
    assert partition_question(table("t", "a int4"), parted(LOW)) == asked_of_rows, "partitioned there alone"
    assert partition_question(parted(LOW), parted(LOW, HIGH)) is None, "all of the source's are there"
    assert partition_question(parted(LOW, HIGH), parted(LOW, bounded=False)) is None, "a DEFAULT takes the rest"
    assert partition_question(parted(LOW, HIGH), table("t", "a int4")) is None
    assert partition_question(parted(LOW, HIGH), parted(LOW, columns="a int8")) is None
    assert partition_question(parted(LOW, HIGH), parted("satisfies_hash_partition('1'::oid, 4, 0, a)")) is None


@pytest.mark.parametrize("ours", [parted(LOW, HIGH), table("t", "a int4")], ids=["partitioned", "plain"])
def test_a_row_without_a_partition_refuses_the_plan_and_none_proves_it(ours: Table) -> None:
    def found(rows: int | None) -> PlanResult:
        facts = SourceFacts(demands={} if rows is None else {partition_demand(NAME): rows})
        return plan("policy: pass", catalogue(ours), catalogue(parted(LOW)), facts=facts)

    assert errors(found(3)) == [("plan.partition-missing", "public.t")]
    assert "3 rows" in found(3).problems[0].message
    assert found(0).problems == ()
    assert warnings(found(None)) == [("plan.partition-missing", "public.t")]
