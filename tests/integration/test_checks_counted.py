"""Checks over columns that become NULL or a constant, decided by the source's rows: refused, proved, and met by a draft."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from support.catalogues import errors, job, plan, warnings
from support.databases import Pair
from tailrace.init_counted import settle_counted
from tailrace.init_draft import begin
from tailrace.init_settle import problems_of, settle
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.generators import Constant, Null
from tailrace_shared.plan.facts import SourceFacts, gather_facts
from tailrace_shared.plan.model import PlanResult
from tailrace_shared.plan.scope import ColumnRef

SCHEMA = r"""
CREATE TYPE state AS ENUM ('open', 'done', 'gone');
CREATE DOMAIN code AS text CHECK (VALUE IS NOT NULL AND VALUE <> 'none');
CREATE TABLE visit (
    id int PRIMARY KEY, kind varchar(20) NOT NULL, email text, phone text, state state NOT NULL, paid numeric(6, 2),
    label code, mobile text,
    CONSTRAINT reached CHECK (email IS NOT NULL OR phone IS NOT NULL OR kind = 'walk-in'),
    CONSTRAINT told CHECK (state <> 'done' OR kind = 'walk-in' OR paid > 0.004),
    CONSTRAINT dialled CHECK (mobile ~ '^\+49' OR kind = 'walk-in'),
    CONSTRAINT known CHECK (phone IS NULL OR kind <> 'walk-in')
);
CREATE TABLE part (k int NOT NULL, email text, CONSTRAINT part_k CHECK (email IS NULL OR k > 0)) PARTITION BY LIST (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
"""
ROWS = """
INSERT INTO visit SELECT n, CASE WHEN n % 2 = 0 THEN 'walk-in' ELSE 'call' END, 'mara@canary-mail.test',
    CASE WHEN n % 2 = 1 THEN '+49 30 ' || n END, CASE WHEN n % 4 = 1 THEN 'done' ELSE 'open' END::state, 2, 'x', '+49 40'
    FROM generate_series(1, 40) n;
INSERT INTO visit VALUES (41, 'call', 'mara@canary-mail.test', NULL, 'open', 2, 'y', NULL);
INSERT INTO part VALUES (1, 'x');
"""
BOTH = "email: null, phone: null"


@pytest.fixture(scope="module")
def visits(new_pair: Callable[..., Pair]) -> Pair:
    pair = new_pair("checks_counted", SCHEMA, ROWS)
    late = "ALTER TABLE visit ADD CONSTRAINT late CHECK (paid < 2 OR kind = 'call' OR id < 0 OR email IS NULL)"
    pair.destination.run_sql(late, pair.name)
    return pair


def judged(pair: Pair, columns: str, more: str = "") -> PlanResult:
    """The plan of a job with these rules for visits, planned with the rights of a reader."""
    text = f"policy: pass\ntables: {{public.visit: {{{more}columns: {{{columns}}}}}}}"

    async def ask() -> PlanResult:
        ours, theirs = [await asyncpg.connect(url) for url in (pair.source_url, pair.destination_url)]
        try:
            here, there = [await read_catalogue(session, ["public"]) for session in (ours, theirs)]
            empty = there.model_copy(
                update={"tables": tuple(t.model_copy(update={"has_rows": False}) for t in there.tables)}
            )
            return plan(text, here, empty, await gather_facts(ours, job(text), here, there))
        finally:
            await ours.close()
            await theirs.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("columns", "broken", "where"),
    [
        ("email: null", ["reached"], ""),
        ("email: null", [], "id < 41"),
        (BOTH, ["reached"], "kind = 'call' AND id < 41"),
        (BOTH, [], "kind = 'walk-in'"),
        (f"{BOTH}, kind: {{generator: constant, value: walk-in}}", [], ""),
        ("state: {generator: constant, value: gone}, email: null", [], "id < 41"),
        ("paid: {generator: constant, value: '0.004'}", ["told"], ""),
        ("paid: {generator: constant, value: '0.005'}", [], ""),
        ("kind: {generator: constant, value: walk-in}", ["known", "late"], ""),
        ("kind: {generator: constant, value: call}, phone: mask.text", [], ""),
        ("label: {generator: constant, value: none}, email: null", ["code_check"], "id < 41"),
        ("label: {generator: constant, value: z}, email: null", [], "id < 41"),
        ("email: null", [], "id < 41 AND lower(email) ~ '^mara'"),
        ("", [], "kind = 'call'"),
    ],
)  # fmt: skip
def test_a_check_that_rows_break_with_what_columns_become_is_refused_and_one_that_none_breaks_is_proved(
    visits: Pair, columns: str, broken: list[str], where: str
) -> None:
    result = judged(visits, columns, f'where: "{where}", ' if where else "")
    found = [(code, place.partition(" check ")[2].split()[0]) for code, place in errors(result)]
    assert sorted(found) == sorted(("plan.check-broken", name) for name in broken)
    assert not [place for code, place in warnings(result) if code == "plan.check"]
    told = " ".join(f"{p.message} {p.remedy}" for p in result.problems if p.code == "plan.check-broken")
    assert not any(value in told for value in ("walk-in", "0.004", "mara"))
    if result.plan is not None:
        doubtful = [p.about for p in result.plan.proofs if " check " in p.about and p.verdict != "proved"]
        assert doubtful == []


@pytest.mark.parametrize(("where", "refused"), [("kind = 'call'", False), ("id < 20", True), ("", True)])
def test_a_check_of_the_destination_alone_is_counted_in_the_rows_that_are_carried(
    visits: Pair, where: str, refused: bool
) -> None:
    result = judged(visits, "", f'where: "{where}", ' if where else "")
    assert errors(result) == ([("plan.check-broken-in-source", "public.visit check late")] if refused else [])
    assert not [code for code, _ in warnings(result) if "check" in code]


def test_a_draft_takes_what_the_rows_allow(visits: Pair) -> None:
    """Not NULL where a row needs the value, NULL where none does: the planner has no doubt left."""

    async def draft() -> tuple[dict[str, object], list[str]]:
        session = await asyncpg.connect(visits.source_url)
        try:
            found = await read_catalogue(session, ["public"])
            there = found.model_copy(update={"system_id": "2"})
            made = begin(
                "deidentify", found, there,
                name="drafted", source_url="${SOURCE}", destination_url="${DESTINATION}", schemas=("public",),
            )  # fmt: skip
            settle(made, SourceFacts())
            choice = made.choices[ColumnRef(found.tables[-1].name, "email")]
            choice.options = [choice.options[0]._replace(rule=rule) for rule in (Null(), Constant(value="x"), None)]
            choice.place = 0
            facts = await settle_counted(made, SourceFacts(), session)
            rules = {ref.column: c.taken.rule for ref, c in made.choices.items() if ref.table.name == "visit"}
            return rules, [f"{p.code} {p.where}" for p in problems_of(made, facts) if "check" in p.code]
        finally:
            await session.close()

    rules, doubts = asyncio.run(draft())
    assert rules["email"] == Constant(value="x"), "rows break `reached` without one"
    assert rules["mobile"] == Null(), "what no mask provably keeps, NULL meets: counted"
    assert doubts == []
