"""Whether what a plan has dropped or disabled is back exactly as it was: definition for definition, from the catalogue itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.messages import Check
from tailrace_shared.plan.ddl import bypass_steps, respect_steps
from tailrace_shared.plan.domains import partition_owners
from tailrace_shared.plan.model import DdlStep, Plan
from tailrace_shared.plan.references import sides_of

COMPARED = frozenset({"index", "foreign-key", "trigger"})
"""Kinds of steps that give back what was there."""
_Key = tuple[str, TableName, str]


def rebuilt_checks(plan: Plan, after: Catalogue) -> list[Check]:
    """One check per thing that is not as it was, and one that counts those that are.

    A step holds the statements that make a thing as the catalogue described it when the plan was made. The same step is made of
    the catalogue as it is now: equal statements, equal things. What the plan did not drop is not its work, and not judged.
    """
    before = _by_key(plan.ddl)
    if not before:
        return [Check(name="catalogue", passed=True, detail="nothing was dropped")]
    now = _by_key(_steps_now(plan, after))
    wrong = [
        Check(name=f"catalogue {kind} {table} {name}", passed=False, detail=said)
        for (kind, table, name), step in before.items()
        if (said := _difference(step, now.get((kind, table, name))))
    ]
    equal = len(before) - len(wrong)
    return [
        *wrong,
        Check(name="catalogue", passed=not wrong, detail=f"{equal:,} of {len(before):,} things are as they were"),
    ]


def _steps_now(plan: Plan, after: Catalogue) -> Iterable[DdlStep]:
    names: Mapping[TableName, TableName] = partition_owners(after)
    if plan.regime == "respect":
        return respect_steps(plan.tables, after, plan.replica_role)
    sides = sides_of({table.name: table for table in plan.tables}, after, names)
    return bypass_steps(plan.tables, sides, after, names)


def _by_key(steps: Iterable[DdlStep]) -> dict[_Key, DdlStep]:
    return {(step.kind, step.table, step.name): step for step in steps if step.kind in COMPARED}


def _difference(step: DdlStep, now: DdlStep | None) -> str:
    if now is None:
        return "was disabled and is not back" if step.kind == "trigger" else "was dropped and is not back"
    return "" if now.rebuild == step.rebuild else "is back, and not as it was"
