"""What stands against following a source, before anything is done to it."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import ALL, catalogue, errors, plan, planned, table, the_error, unique, warnings

FOLLOW = "mode: continuous\npolicy: pass\n"
PERSON = table("person", "id int8!", "email text!", primary=["id"])


@pytest.mark.parametrize(
    ("changed", "identity"),
    [
        ({}, ("id",)),
        ({"replica_identity": "f"}, ("id",)),
        ({"replica_identity": "i", "indexes": (unique("by_email", "email", identifies=True),)}, ("email",)),
        ({"replica_identity": "f", "indexes": ()}, ()),
    ],
)
def test_rows_are_found_by_the_replica_identity_of_their_table(
    changed: dict[str, Any], identity: tuple[str, ...]
) -> None:
    found = planned(FOLLOW, catalogue(PERSON.model_copy(update=changed)))
    assert found.tables[0].identity == identity


@pytest.mark.parametrize(
    ("changed", "text", "code"),
    [
        ({"indexes": ()}, "", "plan.continuous-identity"),
        ({"replica_identity": "n"}, "", "plan.continuous-identity"),
        ({"persistence": "u"}, "", "plan.continuous-unlogged"),
        ({}, "tables: {public.person: {where: id > 5}}\n", "plan.continuous-filter"),
        ({}, "tables: {public.person: {rows: 5}}\n", "plan.continuous-filter"),
        ({}, 'tables: {public.person: {columns: {id: "null"}}}\n', "plan.continuous-key-lost"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(changed: dict[str, Any], text: str, code: str) -> None:
    found = plan(FOLLOW + text, catalogue(PERSON.model_copy(update=changed)))
    assert code in {found for found, where in errors(found) if where.startswith("public.person")}


def test_a_run_that_appends_cannot_follow() -> None:
    found = plan(FOLLOW + 'destination: {url: "${D}", mode: append}\n', catalogue(PERSON))
    assert "plan.continuous-append" in {code for code, _ in errors(found)}


def test_rows_are_changed_and_deleted_later_so_the_role_must_be_allowed_to() -> None:
    less = catalogue(
        PERSON,
        privileges={"public.person": tuple(p for p in ALL if p not in ("UPDATE", "DELETE")), "public": ("USAGE",)},
    )
    problem = the_error(plan(FOLLOW, catalogue(PERSON), less))
    assert problem.remedy == 'GRANT UPDATE, DELETE ON "public"."person" TO "mover";'
    assert errors(plan("policy: pass", catalogue(PERSON), less)) == []


@pytest.mark.parametrize(("granted", "apply"), [(True, "replica-role"), (False, "bare")])
def test_changes_are_applied_as_the_role_may(granted: bool, apply: str) -> None:
    found = planned(FOLLOW, catalogue(PERSON), catalogue(PERSON, can_replicate=granted))
    assert found.continuous is not None
    assert found.continuous.apply == apply


def test_a_key_without_an_index_of_the_destination_is_warned_of() -> None:
    there = table("person", "id int8!", "email text!")
    assert ("plan.continuous-no-index", "public.person") in warnings(plan(FOLLOW, catalogue(PERSON), catalogue(there)))
