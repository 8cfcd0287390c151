"""Verdicts of the verification, decided from counts and catalogues alone."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace_shared.catalogue.model import Catalogue, Column, ForeignKey, Index, Table, TableName, Trigger
from tailrace_shared.plan.ddl import bypass_steps
from tailrace_shared.plan.model import DataKey, Fingerprints, ForeignKeyCheck, Plan, PlannedTable
from tailrace_shared.plan.references import sides_of
from tailrace_shared.types import ColumnType
from tailrace_shared.verify.constraints import judge
from tailrace_shared.verify.digest import keyed, overall_digest, table_digest
from tailrace_shared.verify.rebuilt import rebuilt_checks
from tailrace_shared.verify.references import judge_orphans
from tailrace_shared.verify.sequences import judge_sequence
from tailrace_shared.verify.structure import structure_checks

A, B = (TableName(schema_name="public", name=name) for name in "ab")
INT = ColumnType(name="integer", base="int4", family="integer")


def table(name: TableName, **changes: Any) -> Table:
    column = Column(name="id", number=1, type=INT, nullable=False)
    index = Index(name=f"{name.name}_x", definition=f"CREATE INDEX {name.name}_x ON {name} (id)", columns=("id",))
    given = {"name": name, "oid": 1, "kind": "r", "columns": (column,), "indexes": (index,)}
    return Table.model_validate(given | {"triggers": (Trigger(name="t", enabled="O"),)} | changes)


def catalogue(*tables: Table, **changes: Any) -> Catalogue:
    key = ForeignKey(
        name="a_b", table=A, columns=("id",), references=B, referenced_columns=("id",), definition="FOREIGN KEY …"
    )
    given = {"server_version": 180000, "database": "d", "system_id": "1", "tables": tables, "foreign_keys": (key,)}
    return Catalogue.model_validate(given | changes)


def plan_for(before: Catalogue) -> Plan:
    tables = tuple(PlannedTable(number=n, name=t.name, mode="carry") for n, t in enumerate(before.tables))
    sides = sides_of({t.name: t for t in tables}, before, {})
    return Plan(
        release="0", run="01J", attempt=1, job_digest="", source_system="1", destination_system="2", regime="bypass",
        tables=tables, ddl=bypass_steps(tables, sides, before, {}), key=DataKey(id="", wrapped=""),
        fingerprints=Fingerprints(mask_secret="", catalogue="", pools=""),
    )  # fmt: skip


def failed(before: Catalogue, after: Catalogue) -> dict[str, str]:
    return {check.name: check.detail for check in rebuilt_checks(plan_for(before), after) if not check.passed}


def test_a_catalogue_as_it_was_passes_and_what_the_plan_did_not_drop_is_not_judged() -> None:
    before = catalogue(table(A), table(B))
    assert len(plan_for(before).ddl) == 5
    assert failed(before, before) == {}
    more = Index(name="new", definition="CREATE INDEX new ON public.a (id)", columns=("id",))
    assert failed(before, catalogue(table(A, indexes=(*table(A).indexes, more)), table(B))) == {}


def test_what_is_missing_or_comes_back_otherwise_is_named() -> None:
    before = catalogue(table(A), table(B))
    other = Index(name="a_x", definition="CREATE INDEX a_x ON public.a USING hash (id)", columns=("id",))
    after = catalogue(table(A, indexes=(other,)), table(B, triggers=(Trigger(name="t", enabled="D"),)), foreign_keys=())
    found = failed(before, after)
    assert found["catalogue index public.a a_x"] == "is back, and not as it was"
    assert found["catalogue trigger public.b t"] == "was disabled and is not back"
    assert found["catalogue foreign-key public.a a_b"] == "was dropped and is not back"
    assert found["catalogue"] == "2 of 5 things are as they were"


def test_a_key_that_comes_back_unvalidated_is_not_as_it_was() -> None:
    before = catalogue(table(A), table(B))
    (key,) = before.foreign_keys
    after = before.model_copy(update={"foreign_keys": (key.model_copy(update={"validated": False}),)})
    assert "catalogue foreign-key public.a a_b" in failed(before, after)


@pytest.mark.parametrize(
    ("orphans", "allowed", "valid", "passed"),
    [(0, 0, True, True), (3, 0, True, False), (3, 3, None, True), (4, 3, None, False), (3, None, None, True),
     (3, 0, False, True), (3, 0, None, False)],
)  # fmt: skip
def test_orphans_fail_unless_the_source_has_them_or_the_constraint_never_held(
    orphans: int, allowed: int | None, valid: bool | None, passed: bool
) -> None:
    key = ForeignKeyCheck(
        name="k", table=A, columns=("x",), references=B, referenced_columns=("id",), orphans=allowed, virtual=valid is None
    )  # fmt: skip
    assert judge_orphans("foreign key", key, orphans, valid).passed is passed


@pytest.mark.parametrize(
    ("following", "extreme", "limit", "upwards", "passed"),
    [(5, 4, 99, True, True), (4, 4, 99, True, False), (99, 99, 99, True, True), (1, None, 99, True, True),
     (-5, -4, -99, False, True), (-4, -4, -99, False, False), (-1, 7, -99, False, True), (-99, -99, -99, False, True)],
)  # fmt: skip
def test_a_sequence_gives_values_beyond_the_keys_in_its_own_direction(
    following: int, extreme: int | None, limit: int, upwards: bool, passed: bool
) -> None:
    assert judge_sequence("s", "t.id", following, extreme, limit, upwards).passed is passed


def test_constraints_that_were_evaluated_decide_and_those_not_enforced_are_told() -> None:
    assert judge("unique", A, 2, {}, ()).passed
    check = judge("check", A, 1, {"odd": 3}, ["lax"])
    assert not check.passed
    assert "odd is not valid and was evaluated: 3 rows that break it" in check.detail
    assert "not enforced by its own definition: lax" in check.detail
    assert judge("check", A, 0, {"odd": 0}, ()).passed


def test_structure_differences_are_told_and_fail_only_where_equality_is_demanded() -> None:
    ours = catalogue(table(A), table(B))
    wide = Column(name="id", number=1, type=INT.model_copy(update={"name": "bigint"}), nullable=True)
    theirs = catalogue(table(A, columns=(wide,), indexes=()), table(B))
    told = structure_checks(ours, theirs, [A, B], demanded=False)
    assert all(check.passed for check in told)
    assert told[0].detail == (
        "column id differs: integer NOT NULL in the source, bigint in the destination; index a_x is in the source only"
    )
    assert told[-1].detail == "1 of 2 tables are as in the source"
    assert [c.passed for c in structure_checks(ours, theirs, [A, B], demanded=True)] == [False, False]
    assert [c.passed for c in structure_checks(ours, ours, [A, B], demanded=True)] == [True]


def test_a_digest_depends_on_name_columns_rows_and_sums_and_not_on_the_order_of_columns() -> None:
    base = table_digest(A, ["x", "y"], 3, [1, 2])
    assert base == table_digest(A, ["y", "x"], 3, [1, 2 - (1 << 64)])
    others = [
        table_digest(B, ["x", "y"], 3, [1, 2]), table_digest(A, ["x"], 3, [1, 2]),
        table_digest(A, ["x", "y"], 4, [1, 2]), table_digest(A, ["x", "y"], 3, [2, 1]), keyed(base, b"k"),
    ]  # fmt: skip
    assert len({base, *others}) == 6
    assert overall_digest({"a": base, "b": "1"}) == overall_digest({"b": "1", "a": base})
