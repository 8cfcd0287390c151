"""Mode create in the plan: the destination as it will be, what stands against it, and the order in which things are made."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import (
    HEAD,
    catalogue,
    errors,
    foreign_key,
    name,
    plain_index,
    table,
    the_error,
    unique,
    warnings,
)
from tailrace_shared.catalogue.model import Catalogue, Ground, Sequence, Trigger
from tailrace_shared.job.load import parse_job
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.create_model import SchemaObject, SourceSchema
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import DataKey, DdlStep, Fingerprints, Plan, PlanResult

JOB = HEAD.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: create') + "policy: pass\n"
CUSTOMER = table("customer", "id int4!", "email text", primary=["id"], indexes=[unique("customer_email", "email")])
ORDERS = table("orders", "id int4!", "customer int4", primary=["id"])
KEY = foreign_key("orders", ["customer"], "customer")
SOURCE = catalogue(CUSTOMER, ORDERS, keys=[KEY])
GROUND = Ground(
    schemas=("public",),
    open_schemas=("public",),
    may_create=True,
    roles=("mover",),
    available={"citext": True, "plperlu": False},
)


def thing(kind: str, thing_name: str, *statements: str, on: str = "", **more: Any) -> SchemaObject:
    values: dict[str, Any] = {"identity": f"public.{thing_name}", "schema_name": "public"} | more
    return SchemaObject(
        kind=kind, name=thing_name, on=name(on) if on else None, statements=statements or (f"CREATE {kind} {thing_name}",), **values
    )  # fmt: skip


TABLES = (thing("TABLE", "customer"), thing("TABLE", "orders"))


def plan_into(
    *objects: SchemaObject,
    source: Catalogue = SOURCE,
    text: str = JOB,
    schema: SourceSchema | None = None,
    there: Catalogue | None = None,
    **ground: Any,
) -> PlanResult:
    target = (there or catalogue(server_version=source.server_version)).model_copy(
        update={"system_id": "2", "ground": GROUND.model_copy(update=ground)}
    )
    return build_plan(
        parse_job(text),
        source,
        target,
        run="01JD0000000000000000000000",
        attempt=1,
        fingerprints=Fingerprints(mask_secret="s", catalogue="c", pools="p"),
        key=DataKey(id="k", wrapped="w"),
        facts=SourceFacts(),
        schema=schema or SourceSchema(objects=objects or TABLES, version=18),
    )


def made(result: PlanResult) -> Plan:
    assert result.plan is not None, errors(result)
    return result.plan


def steps(result: PlanResult, kind: str) -> list[DdlStep]:
    return [step for step in made(result).ddl if step.kind == kind]


def test_tables_that_are_not_there_are_no_error_and_are_planned_as_the_source_has_them() -> None:
    found = made(plan_into())
    assert [str(t.name) for t in found.tables] == ["public.customer", "public.orders"]
    assert [key.name for key in found.foreign_keys] == [KEY.name]
    assert found.mode == "create"
    assert [step.kind for step in found.ddl] == ["create", "create"]
    assert found.ddl[0].drop == "DROP TABLE IF EXISTS public.customer"
    assert found.ddl[0].makes == ("public.customer",)


def test_a_key_to_a_table_that_is_not_carried_is_neither_made_nor_demanded() -> None:
    lost = thing("FK CONSTRAINT", KEY.name, on="orders", lost="public.customer")
    schema = SourceSchema(objects=(TABLES[1],), lost=(lost,))
    result = plan_into(schema=schema, text=JOB + "tables: {public.customer: {mode: exclude}}\n")
    assert made(result).foreign_keys == ()
    assert ("plan.create-without", f"fk constraint public.{KEY.name}") in warnings(result)


def test_a_carried_table_that_cannot_be_without_another_is_refused_by_name() -> None:
    schema = SourceSchema(objects=(TABLES[1],), lost=(TABLES[0].model_copy(update={"lost": "other.parent"}),))
    problem = the_error(plan_into(schema=schema))
    assert (problem.code, problem.where) == ("plan.create-needs", "public.customer")
    assert "other.parent" in problem.message


@pytest.mark.parametrize(
    ("made_thing", "taken"),
    [
        (thing("TABLE", "customer"), "public.customer"),
        (thing("TYPE", "mood"), "public.mood"),
        (thing("FUNCTION", "f(integer)", identity="public.f(integer)"), "public.f(integer)"),
        (thing("INDEX", "by_name", on="customer"), "public.by_name"),
        (thing("CONSTRAINT", "customer_pkey", "ADD CONSTRAINT y PRIMARY KEY (id)", on="customer"), "public.customer_pkey"),
    ],
)  # fmt: skip
def test_a_name_that_is_taken_is_found(made_thing: SchemaObject, taken: str) -> None:
    assert plan_into(made_thing).plan is not None
    problem = the_error(plan_into(made_thing, taken=(taken,)))
    assert problem.code == "plan.create-exists"
    assert taken in problem.remedy


def test_a_schema_that_is_there_already_is_one_problem_and_not_hundreds() -> None:
    things = [thing("INDEX", f"index_{n}", on="customer") for n in range(7)] + [thing("TABLE", "customer")]
    problem = the_error(plan_into(*things, taken=tuple(t.takes for t in things)))
    assert (problem.code, problem.where) == ("plan.create-exists", "table public.customer")
    assert "this and 7 other things" in problem.message


def test_a_function_of_other_arguments_takes_no_name() -> None:
    assert plan_into(thing("FUNCTION", "f(text)", identity="public.f(text)"), taken=("public.f(integer)",)).plan


def test_what_the_role_may_not_is_said_with_its_grant() -> None:
    problem = the_error(plan_into(open_schemas=()))
    assert problem.remedy == 'GRANT USAGE, CREATE ON SCHEMA "public" TO "mover";'
    problem = the_error(plan_into(thing("TYPE", "pair", schema_name="other"), may_create=False))
    assert problem.remedy == 'GRANT CREATE ON DATABASE "db" TO "mover";'


def test_a_table_that_is_only_emptied_must_be_readable_for_pg_dump() -> None:
    rights = {k: v for k, v in SOURCE.privileges.items() if k != "public.orders"} | {"public.orders": ()}
    source = SOURCE.model_copy(update={"privileges": rights})
    result = plan_into(source=source, text=JOB + "tables: {public.orders: {mode: truncate}}\n")
    assert the_error(result).remedy == 'GRANT SELECT ON "public"."orders" TO "mover";'


@pytest.mark.parametrize(
    ("extension", "ground", "says"),
    [
        ("postgis", {}, "does not have"),
        ("plperlu", {}, "may not create"),
        ("citext", {"may_create": False}, "may not create"),
    ],
)
def test_an_extension_that_cannot_be_made_is_found(extension: str, ground: dict[str, Any], says: str) -> None:
    wanted = thing("EXTENSION", extension, schema_name="")
    result = plan_into(wanted, **ground)
    assert says in the_error(result).message
    assert plan_into(wanted, extensions={extension: "public"}).plan is not None
    assert steps(plan_into(wanted, extensions={extension: "public"}), "create") == []


def test_an_older_server_and_things_of_superusers_are_refused() -> None:
    result = plan_into(there=catalogue(server_version=140000))
    assert [code for code, _ in errors(result)] == ["plan.create-version"]
    assert the_error(plan_into(thing("OPERATOR CLASS", "o"))).code == "plan.create-superuser"
    assert plan_into(thing("OPERATOR CLASS", "o"), superuser=True).plan is not None


def test_more_than_the_server_has_locks_for_is_refused_beforehand() -> None:
    assert plan_into(locks=6).plan is not None
    problem = the_error(plan_into(locks=5))
    assert problem.code == "plan.create-locks"
    assert "max_locks_per_transaction" in problem.remedy


def test_forced_row_security_needs_a_role_that_passes_it_by() -> None:
    forced = thing("TABLE", "customer", forces_row_security=True)
    assert the_error(plan_into(forced)).code == "plan.row-security"
    assert plan_into(forced, bypasses_row_security=True).plan is not None


def test_a_policy_for_a_role_that_is_not_there_is_left_out_and_said() -> None:
    policy = thing("POLICY", "p", on="customer", roles=("auditor",))
    result = plan_into(*TABLES, policy)
    assert steps(result, "create-rest") == []
    assert ("plan.create-without", "policy public.p") in warnings(result)
    assert len(steps(plan_into(*TABLES, policy, roles=("auditor",)), "create-rest")) == 1


def test_the_regime_respect_says_that_it_means_nothing() -> None:
    result = plan_into(text=JOB.replace("mode: create", "mode: create, constraints: respect"))
    assert ("plan.create-respect", "test") in warnings(result)
    assert made(result).regime == "bypass"
    assert all(t.after == () for t in made(result).tables)


def test_without_pg_dump_the_plan_says_what_it_does_not_know() -> None:
    result = build_plan(
        parse_job(JOB), SOURCE, catalogue().model_copy(update={"system_id": "2", "ground": GROUND}), run="r", attempt=1,
        fingerprints=Fingerprints(mask_secret="s", catalogue="c", pools="p"), key=DataKey(id="k", wrapped="w"), facts=SourceFacts(),
    )  # fmt: skip
    assert ("plan.create-unread", "test") in warnings(result)
    assert result.plan is not None


def test_keys_and_indexes_come_after_the_load_and_attachments_after_them() -> None:
    result = plan_into(
        *TABLES,
        thing("DEFAULT", "customer id", "ALTER TABLE customer ALTER id SET DEFAULT 1", on="customer"),
        thing("SEQUENCE", "identity", "ALTER TABLE customer ALTER id ADD GENERATED ALWAYS AS IDENTITY"),
        thing("CONSTRAINT", "customer_pkey", "ALTER TABLE … PRIMARY KEY (id)", on="customer"),
        thing("INDEX", "by_email", on="customer"),
        thing("INDEX ATTACH", "part", on="customer"),
        thing("TRIGGER", "t", on="customer"),
        thing("REFRESH", "mv", "REFRESH MATERIALIZED VIEW mv"),
    )
    before = steps(result, "create")
    assert [s.drop != "" for s in before] == [True, True, False, False]
    assert all(s.rebuild == () for s in before)
    assert [s.name for s in steps(result, "create-index")] == [
        "constraint public.customer_pkey",
        "index public.by_email",
    ]
    assert [s.name for s in steps(result, "create-attach")] == ["index attach public.part"]
    assert [s.name for s in steps(result, "create-rest")] == ["trigger public.t", "refresh public.mv"]


ADD = "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT k FOREIGN KEY (customer) REFERENCES public.customer(id)"


@pytest.mark.parametrize(
    ("statement", "rebuild"),
    [
        (ADD, (f"{ADD} NOT VALID", 'ALTER TABLE "public"."orders" VALIDATE CONSTRAINT "k"')),
        (f"{ADD} DEFERRABLE", (f"{ADD} DEFERRABLE NOT VALID", 'ALTER TABLE "public"."orders" VALIDATE CONSTRAINT "k"')),
        (f"{ADD} NOT VALID", (f"{ADD} NOT VALID",)),
        (f"{ADD} NOT ENFORCED", (f"{ADD} NOT ENFORCED",)),
    ],
)
def test_foreign_keys_are_validated_on_their_own(statement: str, rebuild: tuple[str, ...]) -> None:
    (step,) = steps(plan_into(*TABLES, thing("FK CONSTRAINT", "k", statement, on="orders")), "create-foreign-key")
    assert step.rebuild == rebuild


def test_of_a_partitioned_table_an_older_server_adds_them_in_one() -> None:
    parted = ORDERS.model_copy(update={"kind": "p"})
    source = catalogue(CUSTOMER, parted, keys=[KEY], server_version=170000)
    result = plan_into(*TABLES, thing("FK CONSTRAINT", "k", ADD, on="orders"), source=source)
    assert steps(result, "create-foreign-key")[0].rebuild == (ADD,)


def test_of_a_key_to_a_partitioned_table_too() -> None:
    parted = CUSTOMER.model_copy(update={"kind": "p"})
    source = catalogue(parted, ORDERS, keys=[KEY.model_copy(update={"name": "k"})], server_version=170000)
    result = plan_into(*TABLES, thing("FK CONSTRAINT", "k", ADD, on="orders"), source=source)
    assert steps(result, "create-foreign-key")[0].rebuild == (ADD,)


def test_schemas_that_are_missing_are_made_first_and_others_are_not() -> None:
    things = (thing("SCHEMA", "other", schema_name="", identity="other"), thing("TYPE", "pair", schema_name="other"))
    assert [s.name for s in steps(plan_into(*things, *TABLES), "create")][:2] == ["schema other", "type public.pair"]
    known = plan_into(*things, *TABLES, schemas=("public", "other"), open_schemas=("public", "other"))
    assert "schema other" not in [s.name for s in steps(known, "create")]
    bare = steps(plan_into(schemas=()), "create")
    assert bare[0].create == ('CREATE SCHEMA "public"',)
    assert bare[0].drop == 'DROP SCHEMA IF EXISTS "public"'


def test_what_the_source_has_of_triggers_and_rights_stops_nothing() -> None:
    loud = CUSTOMER.model_copy(update={"triggers": (Trigger(name="t", enabled="A"),), "has_rows": True})
    source = catalogue(
        loud, ORDERS, keys=[KEY], privileges={**SOURCE.privileges, "public.customer": ("SELECT",)},
        sequences=(Sequence(schema_name="public", name="s", owner=name("orders"), owner_column="id"),),
    )  # fmt: skip
    found = made(plan_into(source=source))
    assert [s.name for s in found.sequences] == ["s"]
    assert all(step.creates for step in found.ddl)


def test_indexes_of_the_source_are_proved_as_the_destinations() -> None:
    source = catalogue(CUSTOMER.model_copy(update={"indexes": (*CUSTOMER.indexes, plain_index("i", "email"))}), ORDERS)
    assert any("customer_email" in proof.about for proof in made(plan_into(source=source)).proofs)
