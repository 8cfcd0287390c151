"""Checks over columns that become NULL or a constant: what is asked of the source, and what an answer does to the plan."""

from __future__ import annotations

import pytest

from support.catalogues import catalogue, errors, plan, planned, table, warnings
from tailrace_shared.catalogue.model import CheckConstraint, Table
from tailrace_shared.plan.counted_checks import CountedCheck, counted_check
from tailrace_shared.plan.facts import SourceFacts

EITHER = CheckConstraint(name="c", definition="CHECK (((a IS NOT NULL) OR (b = 'x'::text)))", columns=("a", "b"))
COLUMNS = ("a text", "b text", "n numeric(6,2)")


def one(*checks: CheckConstraint, columns: tuple[str, ...] = COLUMNS) -> Table:
    return table("t", *columns, checks=checks)


def rules(given: str) -> str:
    return f"policy: pass\ntables: {{public.t: {{columns: {{{given}}}}}}}"


def asked(given: str, check: CheckConstraint = EITHER, ours: Table | None = None) -> CountedCheck | None:
    theirs = one(check)
    source = ours or theirs
    made = planned(rules(given), catalogue(source), catalogue(theirs))
    return counted_check(check, source, theirs, {c.name: c for t in made.tables for c in t.columns})


def test_the_source_is_asked_with_the_known_values_in_their_place() -> None:
    found = asked("a: null, b: {generator: constant, value: it's}")
    assert found is not None
    assert found.question('"public"."t" AS t', "id < 3") == (
        'SELECT count(*) FROM (SELECT FROM (SELECT CASE WHEN false THEN t."a" END AS "a", '
        "CASE WHEN t.\"b\" IS DISTINCT FROM NULL THEN CAST('it''s' AS text) END AS \"b\" "
        'FROM "public"."t" AS t WHERE id < 3) AS t '
        "WHERE NOT (((a IS NOT NULL) OR (b = 'x'::text))) LIMIT 1000) AS broken"
    )


@pytest.mark.parametrize(
    ("given", "definition", "sure"),
    [
        ("a: null", "CHECK (((a IS NOT NULL) OR (b = 'x'::text)))", True),
        ("a: mask.text, b: {generator: constant, value: x}", "CHECK (((a IS NOT NULL) OR (b = 'x'::text)))", False),
        ("a: mask.text, b: null", "CHECK (((a ~ 'x'::text) OR (b = 'x'::text)))", None),
        ("a: mask.text", "CHECK (((a IS NOT NULL) OR (b = 'x'::text)))", None),
        ("", "CHECK (((a IS NOT NULL) OR (b = 'x'::text)))", None),
        ("a: null", "CHECK ((fine(a) OR (b = 'x'::text)))", None),
        ("a: null", "CHECK (((t.* IS NOT NULL) OR (a = b)))", None),
        ("a: null", "CHECK (((a IS NOT NULL) OR (b = 'x'::text))) NOT ENFORCED", None),
    ],
)
def test_what_the_rows_decide_is_asked_and_nothing_else(given: str, definition: str, sure: bool | None) -> None:
    found = asked(given, EITHER.model_copy(update={"definition": definition}))
    assert (found.sure if found else None) is sure


def test_another_value_and_another_definition_are_another_fact() -> None:
    other = EITHER.model_copy(update={"definition": "CHECK (((a IS NOT NULL) OR (b = 'y'::text)))"})
    facts = [
        asked("a: null"),
        asked("a: {generator: constant, value: x}"),
        asked("a: {generator: constant, value: z}"),
        asked("a: null", other),
    ]
    assert len({fact.name for fact in facts if fact}) == 4


def test_the_check_of_a_domain_is_asked_of_a_value_of_its_base_type() -> None:
    check = CheckConstraint(name="c", definition="CHECK ((VALUE <> 'x'::text))", columns=("a",), domain="public.code")
    ours = one(check)
    domain = ours.columns[0].type.model_copy(update={"name": "public.code"})
    ours = ours.model_copy(update={"columns": (ours.columns[0].model_copy(update={"type": domain}), *ours.columns[1:])})
    made = planned(rules("a: {generator: constant, value: y}"), catalogue(ours))
    found = counted_check(check, ours, ours, {c.name: c for t in made.tables for c in t.columns})
    assert found is not None
    assert found.columns == 'CASE WHEN t."a" IS DISTINCT FROM NULL THEN \'y\' ELSE t."a" END AS value'


@pytest.mark.parametrize(
    ("rows", "refused", "told"),
    [
        (0, [], []),
        (7, [("plan.check-broken", "public.t check c")], []),
        (None, [], [("plan.check", "public.t check c")]),
    ],
)
def test_no_row_proves_a_check_some_refuse_the_plan_and_silence_is_told(
    rows: int | None, refused: list[tuple[str, str]], told: list[tuple[str, str]]
) -> None:
    question = asked("a: null")
    assert question is not None
    facts = SourceFacts(checks={} if rows is None else {question.name: rows})
    result = plan(rules("a: null"), catalogue(one(EITHER)), facts=facts)
    assert errors(result) == refused
    assert [w for w in warnings(result) if "check" in w[0]] == told
    if refused:
        assert "7 rows" in result.problems[0].message
    if result.plan is not None:
        (proof,) = [p for p in result.plan.proofs if p.about == "public.t check c"]
        assert proof.verdict == ("proved" if rows == 0 else "verified-after")


def test_what_a_mask_may_mend_is_told_and_not_refused() -> None:
    given = "a: mask.text, b: {generator: constant, value: y}"
    question = asked(given)
    assert question is not None
    result = plan(rules(given), catalogue(one(EITHER)), facts=SourceFacts(checks={question.name: 7}))
    assert ([c for c, _ in errors(result)], [c for c, _ in warnings(result)]) == ([], ["plan.check"])


def test_a_mask_keeps_a_check_of_the_destination_alone_where_every_row_meets_it_before() -> None:
    check = CheckConstraint(name="c", definition="CHECK ((a <> ''::text))", columns=("a",))
    question = asked("a: mask.text", check, one())
    assert question is not None
    for counted, codes in (({}, ["plan.check"]), ({question.name: 0}, [])):
        result = plan(rules("a: mask.text"), catalogue(one()), catalogue(one(check)), facts=SourceFacts(checks=counted))
        assert [code for code, _ in warnings(result)] == codes


def test_a_constant_under_a_check_of_the_destination_is_spoken_of_once() -> None:
    result = plan(rules("a: null"), catalogue(one()), catalogue(one(EITHER)))
    assert [code for code, _ in warnings(result)] == ["plan.check"]
