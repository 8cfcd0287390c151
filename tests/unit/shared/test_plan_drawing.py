"""How learned rows are drawn, in a plan: context, rules, seeds; sealed where they are values, refused with the reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.catalogues import catalogue, foreign_key, table
from support.catalogues import plan as plan_of
from tailrace_shared.catalogue.model import CheckConstraint
from tailrace_shared.envelope import TransportKey
from tailrace_shared.errors import TerminalError, UsageError
from tailrace_shared.generators import Ai
from tailrace_shared.job.load import parse_job
from tailrace_shared.plan.drawing import SEEDS_MAX, SeedRows, ask_seeds
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import Plan, PlanResult
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import scope_of
from tailrace_shared.plan.sealing import open_seeds, seal_seeds

CITY = table("city", "id int4!", "name text!", primary=["id"])
TRIP = table(
    "trip", "id int8!", "city text!", "fare numeric(8,2)!", "tip numeric(8,2)!", "begun date", "paid bool!", "home int4",
    "token uuid", primary=["id"],
)  # fmt: skip
KEYS = (foreign_key("trip", ["home"], "city"),)
KEY = TransportKey.of("0123456789abcdef0123456789abcdef")
HIDDEN = "Villa Kunterbunt"


def planned(trip: str, facts: SourceFacts | None = None, city: str = "{mode: exclude}") -> PlanResult:
    source = catalogue(TRIP.model_copy(update={"rows": 1e6}), CITY, keys=KEYS)
    job = f"policy: halt\ntables:\n  public.trip: {{mode: synthesize, rows: 50, {trip}}}\n  public.city: {city}\n"
    return plan_of(job, source, facts=facts) if facts else plan_of(job, source)


def good(result: PlanResult) -> Plan:
    assert result.plan is not None, result.problems
    return result.plan


def test_context_is_learned_as_categories_and_goes_through_its_rule_as_in_carried_tables() -> None:
    plan = good(planned("train: {context: [city, paid]}, columns: {city: mask.text, paid: duplicate, home: null}"))
    trip = plan.table(0) if plan.table(0).name.name == "trip" else plan.table(1)
    assert trip.learning is not None
    assert trip.learning.context == ("city", "paid")
    assert {"city", "fare", "tip", "begun", "paid"} <= set(trip.learning.columns)
    city, paid = (next(c for c in trip.columns if c.name == name) for name in ("city", "paid"))
    assert (city.rule.generator, city.masked, paid.rule.generator, paid.masked) == (
        "mask.text",
        True,
        "duplicate",
        False,
    )
    assert city.mask is not None
    assert city.mask.domain == city.rule.domain_family, "equal values map as they do in carried tables"
    read = {c.name: c.rule for c in trip.learning.source.columns}
    assert read["city"] == Ai(form="category")
    said = next(p.reason for p in plan.proofs if p.about == "public.trip model")
    assert "of city, paid, values that so many share come from the source and go through their rules" in said


def test_rules_and_seeds_are_in_the_plan_and_seeds_of_the_source_only_sealed() -> None:
    draw = (
        "draw: {ordered: [[tip, fare]], among: [{columns: [city, paid], values: [[Rome, true], [Oslo, false]]}], "
        "seeds: {columns: [city, fare], table: public.wanted}}"
    )
    facts = SourceFacts(seeds={"public.trip": SeedRows(rows=((HIDDEN, "1.50"), (None, "2.00")))})
    plan = good(planned(f"{draw}, columns: {{home: null}}", facts))
    learning = next(t.learning for t in plan.tables if t.learning)
    assert learning.draw.ordered == (("tip", "fare"),)
    assert learning.draw.among[0].values == (("Rome", True), ("Oslo", False))
    assert (learning.draw.seeds, learning.seeded) == (None, ("city", "fare"))
    said = [p.reason for p in plan.proofs if p.about == "public.trip draw"]
    assert said == [
        "rows that break a rule on tip, fare; city, paid are drawn again",
        "city, fare have the values of the seeds, in turn, as they are",
    ]
    assert plan.seeds[0].rows == ((HIDDEN, "1.50"), (None, "2.00"))
    sealed = seal_seeds(plan, KEY)
    for written in (sealed.encode(), plan.encode()):
        assert HIDDEN.encode() not in Plan.text_of(written)
    again = Plan.decode(sealed.encode())
    (opened,) = open_seeds(again, KEY).values()
    assert opened == plan.seeds[0]
    with pytest.raises(TerminalError):
        open_seeds(again.model_copy(update={"attempt": 2}), KEY)
    assert open_seeds(Plan.decode(plan.encode()), KEY) == {}


def test_seeds_that_the_job_writes_are_texts_as_postgresql_has_them() -> None:
    seeds = "{columns: [city, paid, fare], rows: [[Rome, true, 3], [Oslo, ~, 2.5]]}"
    plan = good(planned(f"draw: {{seeds: {seeds}}}, columns: {{home: null}}"))
    assert plan.seeds[0].rows == (("Rome", "true", "3"), ("Oslo", None, "2.5"))


def test_seeds_of_the_source_are_asked_for_once_in_the_order_of_their_values() -> None:
    asked: list[str] = []

    async def ask(question: str, **options: Any) -> Any:
        asked.append(question)
        return [("Rome", "1")]

    job = (
        'name: a\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\ntables:\n'
        '  "public.t*": {mode: synthesize, draw: {seeds: {columns: [city, fare], table: extra.wanted}}}\n'
    )
    scope = scope_of(parse_job(job), catalogue(TRIP), Problems())
    found = asyncio.run(ask_seeds(ask, scope.values()))
    assert found == {"public.trip": SeedRows(rows=(("Rome", "1"),))}
    (question,) = asked
    assert question.startswith(
        'SELECT "city"::text, "fare"::text FROM "extra"."wanted" ORDER BY ("city"::text) COLLATE "C"'
    )
    assert question.endswith(f"LIMIT {SEEDS_MAX + 1}")


def told(rows: int) -> SourceFacts:
    return SourceFacts(seeds={"public.trip": SeedRows(rows=(("Rome",),) * rows if rows >= 0 else None)})


SEEDED = "draw: {seeds: {columns: [city], table: public.wanted}}"


@pytest.mark.parametrize(
    ("trip", "facts", "code", "said"),
    [
        ("train: {context: [town]}", None, "plan.learn-context", "no column"),
        ("train: {context: [city]}", None, "plan.learn-context", "has none"),
        ("train: {context: [city]}, columns: {city: ai}", None, "plan.learn-context", "has none"),
        ("train: {context: [token]}, columns: {token: mask.hash}", None, "plan.", "uuid"),
        ("train: {context: [token]}, columns: {token: duplicate}", None, "plan.learn-context", "not learned as categories"),
        ("train: {context: [home]}, columns: {home: mask.number}", None, "plan.learn-context", "leads to no row"),
        ("train: {context: [city], together: [[city, paid]]}, columns: {city: mask.text}", None, "plan.learn-rule", "context"),
        ("columns: {city: mask.text}", None, "plan.learn-real-value", "values of real rows"),
        ("draw: {ordered: [[tip, id]]}", None, "plan.draw-rule", "not drawn from the model"),
        ("train: {context: [city]}, draw: {below: [[city, fare]]}, columns: {city: mask.text}", None, "plan.draw-rule", "own rule"),
        ("draw: {seeds: {columns: [id], rows: [[1]]}}", None, "plan.draw-seeds", "not drawn from the model"),
        ("draw: {seeds: {columns: [begun], rows: [[x]]}}", None, "plan.draw-seeds", "as categories or numbers"),
        ("draw: {seeds: {columns: [fare], rows: [[1]]}}, columns: {fare: {generator: ai, low: 1}}", None, "plan.draw-seeds", "has"),
        ("draw: {seeds: {columns: [fare], rows: [[1]]}}, train: {ordered: [[tip, fare]]}", None, "plan.draw-seeds", "decides it"),
        ("draw: {seeds: {columns: [city], rows: [[x]]}}, train: {together: [[city, paid]]}", None, "plan.draw-seeds", "decides it"),
        (SEEDED, told(-1), "plan.draw-seeds", "could not be read"),
        (SEEDED, told(0), "plan.draw-seeds", "has no row"),
        (SEEDED, told(SEEDS_MAX + 1), "plan.draw-seeds", "more than 10,000 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_so_is_refused_with_the_reason(
    trip: str, facts: SourceFacts | None, code: str, said: str
) -> None:
    problems = [p for p in planned(trip, facts).problems if p.severity == "error"]
    found = [p for p in problems if p.code.startswith(code) and said in p.message]
    assert found, problems
    assert all(p.remedy for p in found)


@pytest.mark.parametrize("mode", ["carry", "duplicate", "truncate", "generate"])
def test_rules_of_drawing_are_refused_where_nothing_is_learned(mode: str) -> None:
    columns = "columns: {name: make.words, id: key}, " if mode == "generate" else ""
    job = f"policy: pass\ntables:\n  public.city: {{mode: {mode}, {columns}rows: 5, draw: {{ordered: [[id, name]]}}}}\n"
    assert "plan.draw-unlearned" in {p.code for p in plan_of(job, catalogue(CITY)).problems}


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        ("{seeds: {columns: [a]}}", "give rows or a table"),
        ("{seeds: {columns: [a], rows: [[1]], table: b.c}}", "give rows or a table"),
        ("{seeds: {columns: [a, b], rows: [[1]]}}", "a value for each of its columns"),
        ("{seeds: {columns: [a, a], rows: [[1, 2]]}}", "named twice"),
        ("{among: [{columns: [a, b], values: [[1]]}]}", "a value for each column"),
    ],
)
def test_a_job_that_contradicts_itself_is_refused_by_line(draw: str, said: str) -> None:
    job = f'name: a\nsource: {{url: "${{A}}"}}\ndestination: {{url: "${{B}}"}}\ntables: {{a.b: {{draw: {draw}}}}}\n'
    with pytest.raises(UsageError) as refused:
        parse_job(job)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("draw", "kept"), [("", False), ("draw: {ordered: [[tip, fare]]},", True), ("draw: {below: [[tip, fare]]},", True)]
)
def test_a_check_that_rows_are_drawn_again_for_holds(draw: str, kept: bool) -> None:
    """Under differential privacy it cannot be built in."""
    check = CheckConstraint(name="no_more", columns=("tip", "fare"), definition="CHECK ((tip <= fare))")
    trip = TRIP.model_copy(update={"rows": 1e6, "checks": (check,)})
    job = f"policy: halt\ntables:\n  public.trip: {{mode: synthesize, rows: 50, {draw} train: {{epsilon: 3, delta: 1.0e-7}}}}\n"
    result = plan_of(job, catalogue(trip))
    about = [p for p in result.problems if "no_more" in f"{p.where} {p.message}"]
    assert (about == []) is kept, result.problems
