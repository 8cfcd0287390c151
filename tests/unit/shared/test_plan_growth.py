"""Columns that are followed in place: when that is right, what the destination needs, and what else the plan keeps."""

from __future__ import annotations

import pytest

from support.catalogues import catalogue, foreign_key, job, name, planned, table
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.plan.growth import NotInPlace, grow, growth_of, require_plain, rules_told, trimmed
from tailrace_shared.plan.model import CapturedColumn, CapturedRelation, Plan
from tailrace_shared.plan.resync import OrderedTable, ResyncOrder, job_of

JOB = "mode: continuous\npolicy: pass\ncontinuous: {columns: mask}\n"
PERSON = table("person", "id int4!", "email text", primary=["id"])
VISIT = table("visit", "id int4!", "person int4", primary=["id"])
BEFORE = catalogue(PERSON, VISIT)


def relation(*columns: str) -> CapturedRelation:
    return CapturedRelation(
        oid=1, identity="d", columns=tuple(CapturedColumn(name=c, type_oid=1, typmod=-1) for c in columns)
    )


def running() -> Plan:
    made = planned(JOB, BEFORE)
    tables = tuple(t.model_copy(update={"relation": relation(*(c.name for c in t.columns))}) for t in made.tables)
    return made.model_copy(update={"tables": tables})


def now(*columns: str, unique: list[str] | None = None) -> Catalogue:
    person = table("person", *columns, primary=["id"], **({"unique": [unique]} if unique else {}))
    return catalogue(person, VISIT)


def fresh(source: Catalogue, destination: Catalogue, rules: str = "nick: mask.text") -> Plan:
    text = f"{JOB}tables: {{public.person: {{columns: {{{rules}}}}}}}\n"
    return planned(text, source, destination)


NEW = now("id int4!", "email text", "nick text")


def grown(destination: Catalogue = BEFORE, rules: str = "nick: mask.text") -> Plan:
    return grow(
        running(), fresh(NEW, NEW, rules), 0, relation("id", "email", "nick"), destination, revision=4, at="0/50"
    )


def test_the_plan_gets_the_column_and_keeps_everything_else() -> None:
    plan = grown()
    before, after = running().table(0), plan.table(0)
    assert [c.name for c in after.columns] == ["id", "email", "nick"]
    assert after.columns[:2] == before.columns
    assert (plan.revision, after.appeared, after.ranges, after.leaves) == (4, ("nick",), before.ranges, before.leaves)
    assert plan.table(1) == running().table(1)
    (growth,) = after.grown
    assert growth.statements == ('ALTER TABLE "public"."person" ADD COLUMN IF NOT EXISTS "nick" text',)
    assert growth_of(plan) == (after, growth)
    assert growth_of(running()) is None
    assert "column nick has appeared and is followed as mask.text" in rules_told(after)
    later = growth.model_copy(update={"revision": 5, "columns": ("id",)})
    both = rules_told(after.model_copy(update={"grown": (growth, later)}))
    assert "column nick has appeared" in both
    assert "column id has appeared" in both


def test_a_column_that_the_destination_has_already_is_emptied_once() -> None:
    (growth,) = grown(NEW).table(0).grown
    assert growth.statements == ('UPDATE ONLY "public"."person" SET "nick" = NULL WHERE "nick" IS NOT NULL',)


def test_a_rule_of_the_job_that_leaves_null_alone_is_followed_too() -> None:
    assert grown(rules="nick: {generator: constant, value: x}").table(0).columns[-1].rule.generator == "constant"


def test_other_columns_that_would_be_made_otherwise_have_the_table_loaded_anew() -> None:
    with pytest.raises(NotInPlace, match="otherwise"):
        grown(rules="nick: mask.text, email: mask.text")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (BEFORE, "not there any more"),
        (now("id int4!", "email text", "nick text!"), "NULL at first"),
        (
            catalogue(
                table("person", "id int4!", "email text", "nick int4", primary=["id"]),
                VISIT,
                keys=[foreign_key("person", ["nick"], "visit")],
            ),
            "foreign key",
        ),
    ],
)
def test_what_is_more_than_a_column_is_not_followed_in_place(source: Catalogue, why: str) -> None:
    with pytest.raises(NotInPlace, match=why):
        require_plain(source, name("person"), ["nick"])
    require_plain(NEW, name("person"), ["nick"])


def test_columns_that_the_stream_has_not_come_to_are_not_planned_yet() -> None:
    later = now("id int4!", "email text", "nick text", "age int4")
    there = trimmed(later, name("person"), ["id", "email", "nick"]).table(name("person"))
    assert there is not None
    assert [c.name for c in there.columns] == ["id", "email", "nick"]
    assert trimmed(NEW, name("person"), ["id", "email", "nick"]) == NEW


def test_columns_that_have_appeared_in_other_tables_keep_their_rules() -> None:
    order = ResyncOrder(
        run="R",
        attempt=1,
        number=5,
        plan="d",
        tables=(OrderedTable(number=1, name=name("visit")),),
        job=job("mode: continuous\npolicy: halt\ncontinuous: {columns: mask}\n"),
        destination=NEW,
    )
    made, refused = job_of(order, grown(), NEW)
    assert not refused
    assert made.tables["public.person"].columns["nick"].generator == "mask.text"


def test_a_column_that_was_there_and_not_carried_is_not_followed_in_place() -> None:
    before = running()
    told = before.table(0).model_copy(update={"relation": relation("id", "email", "nick")})
    before = before.model_copy(update={"tables": (told, before.table(1))})
    with pytest.raises(NotInPlace, match="nick was there before"):
        grow(before, fresh(NEW, NEW), 0, relation("id", "email", "nick", "age"), BEFORE, revision=4, at="0/50")


def test_a_table_that_was_duplicated_is_carried_once_a_column_of_it_is_masked() -> None:
    before = running()
    tables = (before.table(0).model_copy(update={"mode": "duplicate"}), before.table(1))
    before = before.model_copy(update={"tables": tables})
    made = grow(before, fresh(NEW, NEW), 0, relation("id", "email", "nick"), BEFORE, revision=4, at="0/50")
    assert made.table(0).mode == "carry"
