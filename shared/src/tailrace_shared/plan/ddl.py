"""What is dropped or disabled while loading, and how exactly it comes back.

Every statement may be repeated: a crash between a statement and the note that it is done changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tailrace_shared.catalogue.model import Catalogue, ForeignKey, Index, Table, TableName
from tailrace_shared.plan.model import DdlStep, PlannedTable
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.references import Sides
from tailrace_shared.types import qualified, quote_ident

NOT_VALID_PARTITIONED = 180000
"""The first version that adds a foreign key NOT VALID to a partitioned table, and that validates its parts with it where it refers
to one: before, the parts of a validated key stay marked NOT VALID."""
ENABLE = {
    "O": "ENABLE TRIGGER", "A": "ENABLE ALWAYS TRIGGER", "R": "ENABLE REPLICA TRIGGER", "D": "DISABLE TRIGGER"
}  # fmt: skip


def bypass_steps(
    planned: Sequence[PlannedTable],
    sides: Sequence[Sides],
    destination: Catalogue,
    names: Mapping[TableName, TableName],
) -> tuple[DdlStep, ...]:
    """Secondary indexes, foreign keys and user triggers of the planned tables. Indexes come back first, triggers last."""
    steps: list[DdlStep] = []
    for table in _targets([p for p in planned if p.mode != "truncate"], destination):
        for index in table.indexes:
            if index.droppable:
                steps.append(_index(len(steps), table, index))
    for side in sides:
        if side.parent is None and side.child and side.child.mode == "truncate":
            continue  # an emptied table may keep its references to others
        steps.append(_foreign_key(len(steps), side.key, destination, names))
    return (*steps, *_triggers(planned, destination, "OA", len(steps)))


def respect_steps(planned: Sequence[PlannedTable], destination: Catalogue, replica_role: bool) -> tuple[DdlStep, ...]:
    """Only user triggers that would fire: under the replica role those of ALWAYS and REPLICA."""
    return tuple(_triggers(planned, destination, "AR" if replica_role else "OA", 0))


def tell_silenced(sides: Sequence[Sides], ddl: Sequence[DdlStep], problems: Problems) -> None:
    """A foreign key comes back with its triggers enabled: only a superuser disables them."""
    rebuilt = {(step.table, step.name) for step in ddl if step.kind == "foreign-key"}
    for key in (side.key for side in sides):
        if key.silenced and (key.table, key.name) in rebuilt:
            problems.warning(
                "foreign-key-silenced", f"{key.table} foreign key {key.name}",
                "its own triggers are disabled in the destination (DISABLE TRIGGER ALL), and it comes back with them enabled",
                "Let a superuser disable them again after the run, or use constraints: respect, which leaves it as it is.",
            )  # fmt: skip


def _targets(planned: Sequence[PlannedTable], destination: Catalogue) -> Iterable[Table]:
    return (table for p in planned if (table := destination.table(p.name)))


def _index(number: int, table: Table, index: Index) -> DdlStep:
    on = index.on or table.name
    return DdlStep(
        number=number,
        kind="index",
        table=on,
        name=index.name,
        drop=f"DROP INDEX IF EXISTS {qualified(on.schema_name, index.name)}",
        rebuild=tuple(_create(on, index)),
    )


def _create(on: TableName, index: Index) -> Iterable[str]:
    """The index, its partitions' first and under their own names; the partitioned one becomes valid with the last of them."""
    for child in index.children:
        yield from _create(child.on or on, child)
    yield re.sub(r"^CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ", index.definition, count=1)
    for child in index.children:
        theirs = child.on or on
        parent, attached = qualified(on.schema_name, index.name), qualified(theirs.schema_name, child.name)
        yield f"ALTER INDEX {parent} ATTACH PARTITION {attached}"
    yield from index.extras


def _foreign_key(number: int, key: ForeignKey, destination: Catalogue, names: Mapping[TableName, TableName]) -> DdlStep:
    table, name = qualified(key.table.schema_name, key.table.name), quote_ident(key.name)
    drop = f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
    add = f"{drop}, ADD CONSTRAINT {name} {key.definition}"
    owner = destination.table(key.table)
    parent = destination.table(key.references)
    partitioned = (owner.kind == "p" if owner else key.table not in names) or (
        parent is not None and parent.kind == "p"
    )
    if not key.validated or not key.enforced:
        rebuild: tuple[str, ...] = (add,)  # its definition says NOT VALID or NOT ENFORCED itself
    elif key.parts:  # the table's own takes over those that its partitions have already
        rebuild = ("; ".join((drop, *key.parts, add)),)
    elif partitioned and destination.server_version < NOT_VALID_PARTITIONED:
        rebuild = (add,)
    else:
        rebuild = (f"{add} NOT VALID", f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
    return DdlStep(
        number=number, kind="foreign-key", table=key.table, name=key.name, drop=drop, rebuild=(*rebuild, *key.extras)
    )


def _triggers(planned: Sequence[PlannedTable], destination: Catalogue, enabled: str, first: int) -> list[DdlStep]:
    steps: list[DdlStep] = []
    for table in _targets(planned, destination):
        disabled: set[str] = set()
        for trigger in table.triggers:
            # Disabling and enabling goes on to the partitions; what differs there comes back after it.
            if trigger.enabled not in enabled and not (trigger.inherited and trigger.name in disabled):
                continue
            disabled.add(trigger.name)
            on = trigger.on or table.name
            relation, name = qualified(on.schema_name, on.name), quote_ident(trigger.name)
            steps.append(
                DdlStep(
                    number=first + len(steps),
                    kind="trigger",
                    table=on,
                    name=trigger.name,
                    drop=f"ALTER TABLE {relation} DISABLE TRIGGER {name}",
                    rebuild=(f"ALTER TABLE {relation} {ENABLE[trigger.enabled]} {name}",),
                )
            )
    return steps
