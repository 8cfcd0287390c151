"""Names with dots that are written alike are refused; dots alone are not."""

from __future__ import annotations

from typing import Any

from support.catalogues import catalogue, errors, table
from support.catalogues import plan as planned
from tailrace_shared.catalogue.model import Table, TableName
from tailrace_shared.plan.model import PlanResult


def named(schema: str, name: str, *columns: str, **more: Any) -> Table:
    return table("t", *(columns or ("id int4",)), **more).model_copy(
        update={"name": TableName(schema_name=schema, name=name)}
    )


def plan(*tables: Table, schemas: str = "[a, a.b]", rules: str = "") -> PlanResult:
    return planned(f"policy: pass\nschemas: {schemas}\n{rules}", catalogue(*tables))


def test_tables_that_are_written_alike_are_refused() -> None:
    found = plan(named("a", "b.c"), named("a.b", "c"))
    assert errors(found) == [("plan.ambiguous-name", "a.b.c")]
    (problem,) = [p for p in found.problems if p.code == "plan.ambiguous-name"]
    assert '"a"."b.c" and "a.b"."c"' in problem.message


def test_what_is_not_carried_may_be_written_as_it_likes() -> None:
    assert errors(plan(named("a", "b.c"), named("x", "y"), schemas="[x]")) == []


def test_columns_that_are_written_alike_are_refused_unless_one_table_is_excluded() -> None:
    tables = (named("a", "b", '"c.d" int4'.replace('"', "")), named("a", "b.c", "d int4"))
    assert errors(plan(*tables, schemas="[a]")) == [("plan.ambiguous-name", "a.b.c.d")]
    assert errors(plan(*tables, schemas="[a]", rules="tables: {a.b.c: {mode: exclude}}\n")) == []


def test_a_dot_alone_is_no_trouble() -> None:
    assert errors(plan(named("a", "b.c"), named("a.b", "d"), named("a", "c"))) == []
