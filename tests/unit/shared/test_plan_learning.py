"""Tables that are learned, in a plan: what is read, how much of it, how it is protected, and what is refused with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, foreign_key, table
from support.catalogues import plan as plan_of
from tailrace_shared.generators import Ai, Key, MakeReference
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.spec import learns
from tailrace_shared.plan.learning import aligned
from tailrace_shared.plan.model import Plan, PlannedTable, PlanResult

PERSON = table("person", "id int4!", "token uuid!", "age int4", "town text!", "income numeric(10,2)", primary=["id"])
VISIT = table("visit", "id int8!", "person_id int4!", "minutes int4!", primary=["id"])
KEYS = (foreign_key("visit", ["person_id"], "person"),)


def source(rows: int = 1_000_000) -> Any:
    person = PERSON.model_copy(update={"rows": float(rows), "pages": 1000, "bytes": 8_192_000})
    return catalogue(person, VISIT, keys=KEYS)


def planned(person: str, visit: str = "{mode: synthesize, rows: 50}", rows: int = 1_000_000) -> PlanResult:
    return plan_of(f"policy: halt\ntables:\n  public.person: {person}\n  public.visit: {visit}\n", source(rows))


def good(result: PlanResult) -> Plan:
    assert result.plan is not None, result.problems
    return result.plan


def named(plan: Plan, name: str) -> PlannedTable:
    return next(t for t in plan.tables if t.name.name == name)


def test_columns_without_a_rule_are_learned_but_keys_are_made_and_references_drawn() -> None:
    plan = good(planned("{mode: synthesize, rows: 5000}"))
    person = named(plan, "person")
    assert {c.name: type(c.rule) for c in person.columns} == {
        "id": Key, "token": Key, "age": Ai, "town": Ai, "income": Ai,
    }  # fmt: skip
    assert person.learning is not None
    assert person.learning.columns == ("age", "town", "income")
    assert [c.name for c in person.learning.source.columns] == ["age", "town", "income"], "nothing else is read"
    assert isinstance(next(c for c in named(plan, "visit").columns if c.name == "person_id").rule, MakeReference)
    assert Plan.decode(plan.encode()) == plan


def test_the_number_of_rows_is_free_and_by_default_about_the_source_s() -> None:
    assert named(good(planned("{mode: synthesize, rows: 3}")), "person").rows == 3
    assert named(good(planned("{mode: synthesize, rows: 5000000}")), "person").rows == 5_000_000
    assert named(good(planned("{mode: synthesize}", rows=4321)), "person").rows == 4321
    unknown = planned("{mode: synthesize}", rows=-1)
    assert "plan.rows-missing" in {p.code for p in unknown.problems}


@pytest.mark.parametrize(
    ("train", "rows", "percent", "limit", "ranges"),
    [
        ("{rows: 10000}", 1_000_000, 1.1, 10_000, 1),
        ("{rows: 10000}", 12_000, 100.0, 10_000, 1),
        ("{rows: 10000}", -1, 100.0, 10_000, 1),
        ("{sample: first, rows: 500}", 1_000_000, 100.0, 500, 1),
        ("{sample: all}", 1_000_000, 100.0, 0, 2),
    ],
)
def test_what_is_read_to_learn_from(train: str, rows: int, percent: float, limit: int, ranges: int) -> None:
    result = plan_of(
        "limits: {range_bytes: 4096000}\ntables:\n  public.person: {mode: synthesize, rows: 9, train: " + train + "}\n"
        "  public.visit: {mode: exclude}\n",
        source(rows),
    )
    learning = named(good(result), "person").learning
    assert learning is not None
    assert learning.percent == pytest.approx(percent)
    assert (learning.rows, len(learning.source.ranges)) == (limit, ranges)


def test_protection_is_said_and_few_rows_are_advised_against() -> None:
    result = planned("{mode: synthesize, rows: 5, train: {k: 25, entity: id}}", rows=900)
    proof = next(p for p in good(result).proofs if p.about == "public.person model")
    assert "25 different values of id or more stand behind every value" in proof.reason
    learning = named(good(result), "person").learning
    assert learning is not None
    assert [c.name for c in learning.source.columns][-1] == "id", "read to count, not to learn"
    assert "id" not in learning.columns
    (advice,) = [p for p in result.problems if p.code == "plan.few-rows" and p.where == "public.person"]
    assert "900 rows are few to learn 3 columns: a good model takes 1,500" in advice.message
    assert not [p for p in planned("{mode: synthesize}").problems if p.where == "public.person"]


@pytest.mark.parametrize(
    ("person", "code", "said"),
    [
        ("{mode: synthesize, columns: {town: mask.text}}", "plan.learn-real-value", "values of real rows"),
        ("{mode: synthesize, columns: {town: duplicate}}", "plan.learn-real-value", "carries values of real rows"),
        ("{mode: generate, rows: 5, columns: {id: key, token: key, age: ai, town: mask.text, income: ai}}",
         "plan.learn-real-value", "values of real rows"),
        ("{mode: synthesize, columns: {id: ai}}", "plan.not-unique", "nothing makes rows differ in id"),
        ("{mode: synthesize, columns: {town: {generator: ai, low: 3}}}", "plan.generator-ai", "for numbers only"),
        ("{mode: synthesize, columns: {age: {generator: ai, form: words}}}", "plan.generator-ai", "for texts only"),
        ("{mode: synthesize, train: {entity: whose}}", "plan.learn-entity", "no such column"),
        ("{mode: synthesize, train: {ordered: [[age, id]]}}", "plan.learn-rule", "it is not learned"),
        ("{columns: {town: ai, id: key, token: key, age: duplicate, income: duplicate}}", "plan.needs-ordinal", "from nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_refused_with_the_reason(person: str, code: str, said: str) -> None:
    problems = [p for p in planned(person, "{mode: exclude}").problems if p.severity == "error"]
    found = [p for p in problems if p.code == code and said in p.message]
    assert found, problems
    assert all(p.remedy for p in found)


def test_rules_between_columns_are_in_the_plan() -> None:
    result = planned("{mode: synthesize, train: {together: [[town, age]], ordered: [[age, income]]}}")
    learning = named(good(result), "person").learning
    assert learning is not None
    assert (learning.together, learning.ordered) == ((("town", "age"),), (("age", "income"),))


def test_differential_privacy_is_in_the_plan_and_warned_of_where_its_delta_says_little() -> None:
    result = planned("{mode: synthesize, train: {epsilon: 3, rows: 100000}}", rows=1_000_000)
    learning = named(good(result), "person").learning
    assert learning is not None
    assert (learning.epsilon, learning.delta) == (3.0, 1e-5)
    assert any("epsilon 3, delta 1e-05" in p.reason for p in good(result).proofs)
    (warned,) = [p for p in result.problems if p.code == "plan.learn-delta"]
    assert "100,000 rows" in warned.message
    assert "5e-06" in warned.remedy
    quiet = planned("{mode: synthesize, train: {epsilon: 3, rows: 100000, delta: 1.0e-6}}", rows=1_000_000)
    assert "plan.learn-delta" not in {p.code for p in quiet.problems}


@pytest.mark.parametrize("rule", ["together: [[town, age]]", "ordered: [[age, income]]"])
def test_rules_that_are_looked_up_in_rows_are_refused_beside_differential_privacy(rule: str) -> None:
    found = [
        p for p in planned(f"{{mode: synthesize, train: {{epsilon: 3, {rule}}}}}").problems if p.severity == "error"
    ]
    assert [p.code for p in found] == ["plan.learn-private-rule"]
    assert "draw" in found[0].remedy


def test_a_continuous_run_learns_nothing() -> None:
    job = "mode: continuous\npolicy: halt\ntables:\n  public.person: {mode: synthesize, rows: 5}\n  public.visit: {mode: exclude}\n"
    assert "plan.generate-continuous" in {p.code for p in plan_of(job, source()).problems}


def test_batches_are_whole_draws_or_parts_of_one() -> None:
    assert [aligned(rows) for rows in (16_384, 5_000, 2_048, 2_047, 700, 1)] == [16_384, 4_096, 2_048, 1_024, 512, 1]


def test_whether_a_job_learns_is_seen_from_the_job() -> None:
    head = 'name: a\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\n'
    assert not learns(parse_job(head))
    assert learns(parse_job(head + "default_mode: synthesize\n"))
    assert learns(parse_job(head + "tables: {a.b: {mode: generate, rows: 1, columns: {c: ai}}}\n"))
