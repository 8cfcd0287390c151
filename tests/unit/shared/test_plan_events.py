"""Entities and their events in a plan: what is learned together, how events are ordered, and what is refused with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, errors, foreign_key, table
from support.catalogues import plan as plan_of
from tailrace_shared.generators import MakeReference
from tailrace_shared.plan.events_joined import ORDERS_WANTED
from tailrace_shared.plan.learning import DRAW_ROWS
from tailrace_shared.plan.model import Plan, PlannedTable, PlanResult

PLAYER = table("player", "id int4!", "bats text!", "weight int4", primary=["id"], rows=20_000.0)
SEASON = table(
    "season", "id int8!", "player_id int4!", "coach_id int4", "year int4!", "team text!", "pair point", primary=["id"],
    rows=140_000.0,
)  # fmt: skip
KEY = foreign_key("season", ["player_id"], "player")
COACH = foreign_key("season", ["coach_id"], "player", name="coach")
GOOD = "{mode: synthesize, rows: 50000}"
SEQUENCE = "{mode: synthesize, sequence: {entity: public.player, order: year}}"


def planned(
    player: str = GOOD, season: str = SEQUENCE, *, keys: Any = (KEY,), more: str = "", tables: Any = (PLAYER, SEASON)
) -> PlanResult:
    rules = f"  public.player: {player}\n  public.season: {season}\n{more}"
    return plan_of(f"policy: halt\ntables:\n{rules}", catalogue(*tables, keys=keys))


def good(result: PlanResult) -> Plan:
    assert result.plan is not None, result.problems
    return result.plan


def named(plan: Plan, name: str) -> PlannedTable:
    return next(t for t in plan.tables if t.name.name == name)


def test_one_model_is_learned_of_both_tables_and_events_come_after_their_entities() -> None:
    plan = good(planned())
    player, season = named(plan, "player"), named(plan, "season")
    learning = player.learning
    assert learning is not None
    assert learning.events is not None
    assert season.learning is None
    assert (season.events_of, season.after) == (player.number, (player.number,))
    assert (learning.key, learning.events.foreign_key, learning.events.order) == ("id", "player_id", "year")
    assert [c.name for c in learning.source.columns] == ["bats", "weight", "id"]
    assert learning.columns == ("bats", "weight"), "a key is read, not learned"
    assert "player_id" in [c.name for c in learning.events.source.columns]
    assert "player_id" not in learning.events.columns
    owner = next(c for c in season.columns if c.name == "player_id")
    assert isinstance(owner.rule, MakeReference)
    assert owner.parent is not None
    assert (owner.parent.owner, owner.parent.table) == (True, player.number)
    assert Plan.decode(plan.encode()) == plan


def test_orders_of_events_are_whole_blocks_of_entities_and_as_many_as_replicas_can_share() -> None:
    season = named(good(planned()), "season")
    assert [(o.low, o.high) for o in season.ranges][:2] == [(0, DRAW_ROWS), (DRAW_ROWS, 2 * DRAW_ROWS)]
    assert season.ranges[-1].high == 50_000
    assert season.estimated_rows == 7 * 50_000, "as many for each as the source has"
    assert season.rows == 1000 * 50_000, "at most"
    assert sum(o.estimated_bytes for o in season.ranges) > 0
    many = named(good(planned("{mode: synthesize, rows: 5000000}")), "season")
    assert {(o.high or 0) - o.low for o in many.ranges[:-1]} == {11 * DRAW_ROWS}
    assert all(o.estimated_bytes <= 32 << 20 for o in many.ranges), "no order is larger than a range"
    some = named(good(planned("{mode: synthesize, rows: 500000}")), "season")
    assert len(some.ranges) <= ORDERS_WANTED
    assert not named(good(planned("{mode: synthesize, rows: 0}")), "season").ranges


def test_the_plan_says_how_events_are_protected_and_how_many_are_sampled() -> None:
    plan = good(planned("{mode: synthesize, rows: 5, train: {k: 25}}"))
    (proof,) = [p for p in plan.proofs if p.about == "public.season events of public.player"]
    for said in ("in order of year", "25 rows of public.player or more", "1,000 at most"):
        assert said in proof.reason
    assert not [p for p in plan.proofs if p.about == "public.season model"], "it has none of its own"
    huge = SEASON.model_copy(update={"rows": 1e8})
    learning = named(good(planned(tables=(PLAYER, huge))), "player").learning
    assert learning is not None
    assert learning.percent == pytest.approx(0.33), "of entities with more events than are learned from, some"


def test_without_an_order_and_without_learned_columns_of_the_entity() -> None:
    bare = table("player", "id int4!", primary=["id"], rows=20_000.0)
    plan = good(planned(season="{mode: synthesize, sequence: {entity: public.player}}", tables=(bare, SEASON)))
    learning = named(plan, "player").learning
    assert learning is not None
    assert learning.columns == ()
    assert learning.events is not None
    assert learning.events.order == ""
    assert "year" in learning.events.columns


def test_a_place_in_the_order_makes_events_of_one_entity_differ() -> None:
    placed = table("season", "player_id int4!", "year int4!", "team text!", primary=["player_id", "year"], rows=100.0)
    plan = good(planned(tables=(PLAYER, placed)))
    assert named(plan, "season").strict
    assert any("no two events of one entity" in proof.reason for proof in plan.proofs)
    measured = table(
        "season", "player_id int4!", "year float8!", "team text!", primary=["player_id", "year"], rows=100.0
    )
    assert "plan.not-unique" in {code for code, _ in errors(planned(tables=(PLAYER, measured)))}


def test_of_two_keys_the_one_that_the_job_names() -> None:
    assert errors(planned(keys=(KEY, COACH))) == [("plan.sequence-key", "public.season")]
    season = "{mode: synthesize, sequence: {entity: public.player, order: year, by: coach_id}}"
    plan = good(planned(season=season, keys=(KEY, COACH)))
    parents = {c.name: c.parent.owner for c in named(plan, "season").columns if c.parent}
    assert parents == {"player_id": False, "coach_id": True}


def test_a_key_that_the_job_alone_declares_will_do() -> None:
    more = "foreign_keys:\n- {table: public.season, columns: [player_id], references: public.player}\n"
    assert named(good(planned(keys=(), more=more)), "season").events_of == 0


def sequence(options: str = "order: year", more: str = "") -> str:
    return f"{{mode: synthesize, sequence: {{entity: public.player, {options}}}{more}}}"


TROPHY = table("trophy", "id int4!", "season_id int8!", primary=["id"])
WON = foreign_key("trophy", ["season_id"], "season")
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "carried": ({"season": "{sequence: {entity: public.player}, policy: pass}"}, "sequence-mode", "the mode carry"),
    "entity is not synthetic": ({"player": "{policy: pass}"}, "sequence-entity", "has the mode carry"),
    "entity is not there": ({"season": "{mode: synthesize, sequence: {entity: public.team}}"}, "sequence-entity", "no part"),
    "no key": ({"keys": ()}, "sequence-key", "no foreign key"),
    "rows": ({"season": sequence(more=", rows: 70")}, "sequence-rows", "drawn for each entity"),
    "own train": ({"season": sequence(more=", train: {k: 20}")}, "sequence-train", "whose train says how"),
    "private": ({"player": "{mode: synthesize, rows: 5, train: {epsilon: 3}}"}, "sequence-train", "differential privacy"),
    "first": ({"player": "{mode: synthesize, rows: 5, train: {sample: first}}"}, "sequence-train", "come first"),
    "order unknown": ({"season": sequence("order: month")}, "sequence-order", "no such column"),
    "order of a text": ({"season": sequence("order: team")}, "sequence-order", "puts nothing in order"),
    "order not learned": ({"season": sequence(more=", columns: {year: make.number}")}, "sequence-order", "has to be learned"),
    "conditions": (
        {"season": sequence(more=", columns: {team: {generator: ai, weights: {A: 1}}}")}, "sequence-rule", "are on entities",
    ),
    "owner's rule": ({"season": sequence(more=", columns: {player_id: 'null'}")}, "sequence-rule", "says to which row"),
    "referred": (
        {"tables": (PLAYER, SEASON, TROPHY), "keys": (KEY, WON), "more": "  public.trophy: {mode: generate, rows: 3}\n"},
        "sequence-referred", "known only when they are drawn",
    ),
    "nothing learned": (
        {"season": sequence("by: player_id", ", columns: {year: make.number, team: make.words, pair: 'null', coach_id: 'null'}")},
        "sequence-empty", "no column of it is learned",
    ),
    "two of one entity": (
        {"tables": (PLAYER, SEASON, table("visit", "player_id int4!", "day date!")),
         "keys": (KEY, foreign_key("visit", ["player_id"], "player")),
         "more": "  public.visit: {mode: synthesize, sequence: {entity: public.player}}\n"},
        "sequence-entity", "learned together with public.season already",
    ),
    "events of events": (
        {"tables": (PLAYER, SEASON, TROPHY), "keys": (KEY, WON),
         "more": "  public.trophy: {mode: synthesize, sequence: {entity: public.season}}\n"},
        "sequence-entity", "itself a table of events",
    ),
    "composite key": (
        {"tables": (table("player", "a int4!", "b int4!", primary=["a", "b"]), table("season", "pa int4!", "pb int4!", "y int4")),
         "keys": (foreign_key("season", ["pa", "pb"], "player", ["a", "b"]),)},
        "sequence-key", "has several columns",
    ),
    "narrow key": (
        {"tables": (PLAYER, table("season", "id int2!", "player_id int4!", "year int4!", primary=["id"], rows=9.0))},
        "capacity", "different ones at most",
    ),
    "key of another kind": (
        {"tables": (table("player", "id numeric!", primary=["id"]), table("season", "player_id numeric!", "year int4!"))},
        "sequence-key", "integers, texts or uuids",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_learned_together_is_refused_with_the_reason(case: str) -> None:
    options, code, said = CASES[case]
    problems = [p for p in planned(**options).problems if p.severity == "error"]
    found = [p for p in problems if p.code == f"plan.{code}" and said in p.message]
    assert found, problems
    assert all(p.remedy for p in found)
