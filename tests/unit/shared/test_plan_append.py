"""Plans that add rows to tables that hold some: staging, the order of the move, what steps aside for it, what is not proved."""

from __future__ import annotations

from typing import Any

from support.catalogues import catalogue, errors, foreign_key, name, plan, planned, table, the_error, unique, warnings
from tailrace_shared.catalogue.model import Catalogue, Partition, Trigger
from tailrace_shared.plan.model import Plan

APPEND = 'policy: pass\ndestination: {url: "${D}", mode: append}\n'
PARENT = table("parent", "id int4!", primary=["id"])
CHILD = table("child", "id int4!", "parent int4", primary=["id"])
KEY = foreign_key("child", ["parent"], "parent")
FAMILY = catalogue(PARENT, CHILD, keys=[KEY])
STAGING = "append_01jd0000000000000000000000_1_"


def holding(found: Catalogue, rows: float = 100.0) -> Catalogue:
    tables = [t.model_copy(update={"has_rows": True, "rows": rows}) for t in found.tables]
    return found.model_copy(update={"tables": tuple(tables)})


def granted(found: Catalogue, *privileges: str, **more: Any) -> Catalogue:
    given = {k: v if k == "public" else privileges for k, v in found.privileges.items()}
    return found.model_copy(update={"privileges": given} | more)


def moved(made: Plan) -> list[str]:
    return [step.table.name for step in made.ddl if step.kind == "append"]


def test_each_table_gets_a_staging_table_of_its_carried_columns_and_parents_are_moved_first() -> None:
    made = planned(APPEND, FAMILY, holding(FAMILY))
    assert (made.mode, made.regime, made.truncate_first, made.replica_role) == ("append", "respect", False, False)
    assert moved(made) == ["parent", "child"]
    step = made.ddl[1]
    assert step.name == STAGING + "0"
    assert step.drop == (
        f'CREATE TABLE "tailrace"."{STAGING}0" AS SELECT "id", "parent" FROM "public"."child" WITH NO DATA'
    )
    assert step.rebuild == (f'DROP TABLE IF EXISTS "tailrace"."{STAGING}0"',)
    assert all(table.after == () for table in made.tables), "staging tables have no order"
    assert [s.number for s in made.ddl] == [0, 1]


def test_no_more_than_select_and_insert_is_asked_for() -> None:
    there = granted(holding(FAMILY), "SELECT", "INSERT")
    assert moved(planned(APPEND, FAMILY, there)) == ["parent", "child"]
    assert the_error(plan(APPEND, catalogue(PARENT), granted(catalogue(PARENT), "SELECT"))).remedy == (
        'GRANT INSERT ON "public"."parent" TO "mover";'
    )


def test_a_table_that_refers_to_itself_and_a_cycle_with_a_deferrable_key_need_no_right() -> None:
    to_itself = foreign_key("parent", ["id"], "parent", name="itself")
    back = foreign_key("parent", ["id"], "child", name="back", deferrable=True)
    made = planned(APPEND, catalogue(PARENT, CHILD, keys=[KEY, to_itself, back]))
    assert moved(made) == ["parent", "child"]
    assert not made.replica_role


def test_a_cycle_without_a_deferrable_key_needs_the_replica_role_and_locks() -> None:
    back = foreign_key("parent", ["id"], "child", name="back")
    ring = catalogue(PARENT, CHILD, keys=[KEY, back])
    assert {code for code, _ in errors(plan(APPEND, ring))} == {"plan.cycle"}
    assert planned(APPEND, ring, ring.model_copy(update={"can_replicate": True})).replica_role
    poor = granted(ring, "SELECT", "INSERT", can_replicate=True)
    assert {p.remedy for p in plan(APPEND, ring, poor).problems if p.code == "plan.privilege"} == {
        'GRANT TRUNCATE ON "public"."parent" TO "mover";',
        'GRANT TRUNCATE ON "public"."child" TO "mover";',
    }


def test_triggers_step_aside_by_their_owner_or_under_the_replica_role() -> None:
    triggers = tuple(Trigger(name=f"t{state}", enabled=state) for state in "ODR")  # type: ignore[misc]
    found = catalogue(PARENT.model_copy(update={"triggers": triggers}))
    own = planned(APPEND, found, found.model_copy(update={"can_replicate": True}))
    assert [s.name for s in own.ddl if s.kind == "trigger"] == ["tO"]
    assert not own.replica_role, "constraints are checked wherever they can be"
    poor = granted(found, "SELECT", "INSERT", "TRUNCATE")
    assert the_error(plan(APPEND, found, poor)).code == "plan.privilege"
    plain = catalogue(PARENT.model_copy(update={"triggers": triggers[:2]}))
    silent = planned(APPEND, plain, granted(plain, "SELECT", "INSERT", "TRUNCATE", can_replicate=True))
    assert silent.replica_role
    assert [s for s in silent.ddl if s.kind == "trigger"] == []


def test_rows_of_tables_that_are_left_alone_are_no_hindrance_where_rows_are_only_added() -> None:
    text = APPEND + "tables: {public.child: {mode: exclude}}"
    made = planned(text, FAMILY, holding(FAMILY))
    assert [p.reason for p in made.proofs if " foreign key " in p.about] == [
        "rows are only added to the table that it refers to"
    ]


def test_a_key_to_a_table_that_is_not_carried_is_verified_when_it_is_duplicated_and_rows_are_there() -> None:
    text = APPEND + "tables: {public.parent: {mode: exclude}}"
    made = planned(text, FAMILY, holding(FAMILY))
    assert [p.verdict for p in made.proofs if " foreign key " in p.about] == ["verified-after"]
    assert errors(plan(text, FAMILY)) == [("plan.outside-parent", "public.child foreign key child_parent_fkey")]
    masked = text.replace("}}", "}, public.child: {columns: {parent: key}}}")
    assert errors(plan(masked, FAMILY, holding(FAMILY))) == [
        ("plan.outside-parent", "public.child foreign key child_parent_fkey")
    ]


def test_a_proof_among_the_new_rows_does_not_hold_beside_old_ones() -> None:
    text = APPEND + "tables: {public.parent: {columns: {id: key}}}"
    source = catalogue(PARENT)
    (empty,) = (p for p in planned(text, source).proofs if " unique " in p.about)
    assert (empty.verdict, empty.reason) == ("proved", "bijection of id")
    result = plan(text, source, holding(source, 300))
    assert [w for w, _ in warnings(result)] == ["plan.append-collision"]
    assert result.plan is not None
    (beside,) = (p for p in result.plan.proofs if " unique " in p.about)
    assert beside.verdict == "verified-after"
    assert "about 0.9 agree by chance" in beside.reason, "100 · 300 / 32768"
    assert beside.about in {p.about for p in result.plan.proofs}


def test_values_that_are_duplicated_may_be_there_as_they_are() -> None:
    source = catalogue(table("t", "code text", indexes=[unique("t_code", "code")]))
    (problem,) = plan(APPEND, source, holding(source)).problems
    assert "t_code (values as the source has them)" in problem.message


def test_nothing_is_emptied_and_nothing_is_followed_where_rows_are_only_added() -> None:
    result = plan(APPEND + "tables: {public.child: {mode: truncate}}", FAMILY)
    assert errors(result) == [("plan.append-truncate", "public.child")]
    result = plan(APPEND + "mode: continuous\n", FAMILY)
    assert ("plan.append-continuous", "destination.mode") in errors(result)


def test_a_name_for_staging_fits_an_identifier_however_large_its_numbers() -> None:
    from tailrace_shared.plan.append import staging_table

    assert len(staging_table("01JD0000000000000000000000", 10**6, 10**6).name) <= 63
    assert str(name("tailrace.x")).startswith(staging_table("R", 1, 2).schema_name)


def test_a_trigger_of_one_partition_steps_aside_on_that_partition() -> None:
    told = Trigger(name="told", enabled="O", on=name("log_1"))
    part = Partition(name=name("log_1"), oid=7, filenode=7, pages=1, rows=1, bytes=8192)
    log = table("log", "a int4", kind="p", partitions=(part,)).model_copy(update={"triggers": (told,)})
    ours = catalogue(table("log", "a int4"))
    made = planned(APPEND, ours, holding(catalogue(log)))
    (step,) = [step for step in made.ddl if step.kind == "trigger"]
    assert step.drop == 'ALTER TABLE "public"."log_1" DISABLE TRIGGER "told"'
    assert step.rebuild == ('ALTER TABLE "public"."log_1" ENABLE TRIGGER "told"',)
