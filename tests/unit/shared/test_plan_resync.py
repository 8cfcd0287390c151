"""Tables planned anew while a run streams: the job and the destination for that, and the plan that comes of it."""

from __future__ import annotations

import pytest

from support.catalogues import catalogue, column_of, errors, foreign_key, job, name, planned, table
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import CapturedColumn, CapturedRelation, Plan, Problem, TableCut
from tailrace_shared.plan.resync import (
    NextAttempt,
    OrderedTable,
    ResyncOrder,
    ground_of,
    job_of,
    planned_table,
    refusals,
    revise,
    unlike,
)

JOB = "mode: continuous\npolicy: pass\n"
PERSON = table("person", "id int4!", "email text", primary=["id"])
VISIT = table("visit", "id int4!", "person int4", primary=["id"])
KEY = foreign_key("visit", ["person"], "person")
BEFORE = catalogue(PERSON, VISIT, keys=[KEY])
CUT = TableCut(revision=3, since="0/10", snapshot="5:5:", filter_until="0/20")


def running(text: str = JOB) -> Plan:
    """A plan as a lane has it: it knows how the source described its tables."""
    made = planned(text, BEFORE)
    relation = {
        t.name: CapturedRelation(
            oid=1, identity="d", columns=tuple(CapturedColumn(name=c.name, type_oid=1, typmod=-1) for c in t.columns)
        )
        for t in made.tables
    }
    return made.model_copy(
        update={"tables": tuple(t.model_copy(update={"relation": relation[t.name]}) for t in made.tables)}
    )


def order(*tables: str, text: str = JOB, destination: Catalogue = BEFORE) -> ResyncOrder:
    numbers = {"person": 0, "visit": 1, "letter": 2}
    return ResyncOrder(
        run="R",
        attempt=1,
        number=3,
        plan="d",
        tables=tuple(OrderedTable(number=numbers[t], name=name(t)) for t in tables),
        job=job(text),
        destination=destination,
    )


def altered(*columns: str) -> Catalogue:
    return catalogue(table("person", *columns, primary=["id"]), VISIT, keys=[KEY])


def test_an_order_travels_whole() -> None:
    asked = order("person")
    assert ResyncOrder.decode(asked.encode()) == asked


def test_the_destination_gets_the_columns_that_it_lacks_and_nothing_where_it_has_them() -> None:
    now = altered("id int4!", "email text", "age int4")
    ground = ground_of(order("person"), running(), now)
    assert ground.statements[name("person")] == ('ALTER TABLE "public"."person" ADD COLUMN IF NOT EXISTS "age" int4',)
    there = ground.destination.table(name("person"))
    assert there is not None
    assert there.column("age") is not None
    assert ground_of(order("person", destination=now), running(), now).statements[name("person")] == ()
    assert name("visit") not in ground_of(order("person"), running(), now).statements


def test_a_new_type_is_followed_only_where_the_destination_had_the_old_one() -> None:
    now = altered("id int4!", "email varchar(80)")
    (made,) = ground_of(order("person"), running(), now).statements[name("person")]
    assert made == ('ALTER TABLE "public"."person" ALTER COLUMN "email" TYPE varchar(80) USING NULL::varchar(80)')
    own = altered("id int4!", "email varchar(200)")
    assert ground_of(order("person", destination=own), running(), now).statements[name("person")] == ()


def test_foreign_keys_that_are_absent_while_the_run_streams_are_planned_with() -> None:
    bare = catalogue(PERSON, VISIT)
    ground = ground_of(order("visit", destination=bare), running(), BEFORE)
    assert [(k.name, k.columns) for k in ground.destination.foreign_keys] == [(KEY.name, KEY.columns)]
    assert len(ground_of(order("visit"), running(), BEFORE).destination.foreign_keys) == 1


@pytest.mark.parametrize(("policy", "generator"), [("mask", "mask.text"), ("pass", "duplicate"), ("null", "null")])
def test_a_column_that_appears_has_the_rule_of_its_own_policy(policy: str, generator: str) -> None:
    text = f"{JOB}continuous: {{columns: {policy}}}\n"
    found, refused = job_of(order("person", text=text), running(), altered("id int4!", "email text", "nick text"))
    assert not refused
    assert found.tables["public.person"].columns["nick"].generator == generator
    assert set(found.tables["public.person"].columns) == {"nick"}
    assert found.destination.mode == "truncate", "it is emptied first, whatever the run found there"


def test_halt_keeps_the_table_out_and_proposes_a_rule() -> None:
    text = f"{JOB}continuous: {{columns: halt}}\n"
    _, refused = job_of(order("person", text=text), running(), altered("id int4!", "email text", "nick text"))
    assert "column nick has appeared without a rule" in refused[name("person")]
    assert "mask.text" in refused[name("person")]
    given = text + "tables: {public.person: {columns: {nick: mock.first_name}}}\n"
    _, refused = job_of(order("person", text=given), running(), altered("id int4!", "email text", "nick text"))
    assert not refused, "a rule decides"


def test_a_column_stays_one_that_has_appeared_when_its_table_is_planned_again() -> None:
    text = f"{JOB}continuous: {{columns: null}}\n"
    now = altered("id int4!", "email text", "nick text")
    before = running()
    told = before.tables[0].model_copy(update={"appeared": ("nick",), "relation": None})
    again = before.model_copy(update={"tables": (told, *before.tables[1:])})
    found, _ = job_of(order("person", text=text), again, now)
    assert found.tables["public.person"].columns["nick"].generator == "null"


def test_rules_of_columns_that_are_gone_are_no_mistake() -> None:
    text = JOB + "tables: {public.person: {columns: {email: mock.email, id: key}}}\n"
    found, refused = job_of(order("person", text=text), running(), altered("id int4!"))
    assert not refused
    assert set(found.tables["public.person"].columns) == {"id"}


def test_what_stands_against_other_tables_does_not_keep_these_out() -> None:
    problems = [
        Problem(severity="error", code="plan.no-rule", where="public.visit.note", message="no rule"),
        Problem(severity="warning", code="plan.x", where="public.person", message="look"),
    ]
    assert refusals(problems, order("person"), BEFORE) == {}
    assert refusals(problems, order("visit"), BEFORE).keys() == {name("visit")}
    everything = [Problem(severity="error", code="plan.nothing", where="test", message="nothing is carried")]
    assert refusals(everything, order("person", "visit"), BEFORE).keys() == {name("person"), name("visit")}


def test_a_revision_keeps_every_number_and_all_that_it_was_not_asked_for() -> None:
    before = running()
    letter = table("letter", "id int4!", "text text", primary=["id"])
    now = catalogue(letter, table("person", "id int4!", "nick text", primary=["id"]), VISIT, keys=[KEY])
    fresh = planned(JOB, now)
    made = revise(
        before,
        fresh,
        {name("person"): 0, name("letter"): 7},
        number=3,
        cut=CUT,
        relations={},
        new_columns={name("person"): ("nick",)},
        statements={name("person"): ("ALTER TABLE …",), name("visit"): ("never",)},
    )
    assert (made.revision, made.run, made.key, made.attempt) == (3, before.run, before.key, before.attempt)
    assert [(t.number, t.name.name) for t in made.tables] == [(0, "person"), (1, "visit"), (7, "letter")]
    assert [c.name for c in made.table(0).columns] == ["id", "nick"]
    assert made.table(1) == before.table(1)
    assert made.table(7).cut == CUT
    assert made.table(0).appeared == ("nick",)
    assert [a.table for a in made.alterations] == [0]
    with pytest.raises(IndexError):
        made.table(2)
    assert planned_table(made, 2) is None


def test_tables_whose_values_would_not_fit_any_more_are_loaded_anew_together() -> None:
    text = "mode: continuous\npolicy: mask\n"
    before = running(text)
    untied = planned(text, catalogue(PERSON, VISIT))
    assert [t.name.name for t in unlike(before, planned(text, BEFORE), [])] == []
    assert [t.name.name for t in unlike(before, untied, [name("person")])] == ["visit"], "its keys were the other's"


@pytest.mark.parametrize(
    ("rules", "others"),
    [
        ("tables: {public.person: {mode: duplicate}}\n", "policy: mask\n"),
        ("tables: {'public.p*': {mode: duplicate}}\n", "policy: halt\n"),
        ("default_mode: duplicate\n", "policy: halt\n"),
    ],
)
def test_a_column_that_appears_in_a_table_that_is_duplicated_has_its_policy_and_the_others_stay_as_they_are(
    rules: str, others: str
) -> None:
    text = f"mode: continuous\n{others}continuous: {{columns: mask}}\n{rules}"
    now = altered("id int4!", "email text", "nick text")
    found, refused = job_of(order("person", text=text), running(), now)
    assert not refused
    made = plan_of(found, now)
    rule = {c.name: c.rule.generator for c in made.tables[0].columns}
    assert rule == {"id": "duplicate", "email": "duplicate", "nick": "mask.text"}


def plan_of(found: Job, now: Catalogue) -> Plan:
    like, there = running(), now.model_copy(update={"system_id": "2"})
    result = build_plan(
        found, now, there, run="R", attempt=1, fingerprints=like.fingerprints, key=like.key, facts=SourceFacts(), tolerant=True
    )  # fmt: skip
    assert result.plan is not None
    assert not [p for p in errors(result) if "person" in p[1]]
    return result.plan


@pytest.mark.parametrize("policy", ["pass", "halt"])
def test_the_next_attempt_knows_which_columns_have_appeared_while_the_run_lasts(policy: str) -> None:
    head = f"mode: continuous\npolicy: {policy}\ncontinuous: {{columns: mask}}\n"
    text = (
        head
        + "tables: {public.person: {columns: {id: duplicate, email: duplicate}}, public.visit: {mode: duplicate}}\n"
    )
    now = altered("id int4!", "email text", "nick text")
    again = NextAttempt.of(job(text), running(), now, BEFORE)
    assert again.job.destination == job(text).destination
    made = again.into(plan_of(again.job, again.ground.destination.model_copy(update={"tables": now.tables})))
    assert column_of(made, "person.nick").rule.generator == "mask.text"
    assert column_of(made, "person.email").rule.generator == "duplicate"
    assert (made.table(0).appeared, made.table(1).appeared) == (("nick",), ())
    assert [(a.table, a.statements) for a in made.alterations] == [
        (0, ('ALTER TABLE "public"."person" ADD COLUMN IF NOT EXISTS "nick" text',))
    ]
    third = NextAttempt.of(job(text), running_as(made), now, now)
    assert third.job.tables["public.person"].columns["nick"].generator == "mask.text", "and so does the one after it"


def running_as(made: Plan) -> Plan:
    """With the columns that it has."""
    columns = {
        t.name: tuple(CapturedColumn(name=c.name, type_oid=1, typmod=-1) for c in t.columns) for t in made.tables
    }
    tables = tuple(
        t.model_copy(update={"relation": CapturedRelation(oid=1, identity="d", columns=columns[t.name])})
        for t in made.tables
    )
    return made.model_copy(update={"tables": tables})


def test_the_next_attempt_is_refused_where_nobody_has_decided_about_a_column() -> None:
    text = f"{JOB}continuous: {{columns: halt}}\n"
    now = altered("id int4!", "email text", "nick text")
    assert "nick" in NextAttempt.of(job(text), running(), now, BEFORE).refused[name("person")]
