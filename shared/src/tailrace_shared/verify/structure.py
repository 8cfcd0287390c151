"""How a destination differs in structure from its source: what somebody should know, and what ``create`` must not leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Column, Table, TableName
from tailrace_shared.messages import Check

_SHOWN: Final = 5
"""Differences of one table that are told; the rest is counted."""


def structure_checks(
    source: Catalogue, destination: Catalogue, tables: Sequence[TableName], *, demanded: bool
) -> list[Check]:
    """One check per table that differs, and one that counts the equal ones.

    ``demanded``: the destination was made after the source, so a difference fails; else it is told. Tables that only one side
    has, and foreign keys to tables that are not carried, are left out.
    """
    carried = frozenset(tables)
    differing: list[Check] = []
    compared = 0
    for name in tables:
        ours, theirs = source.table(name), destination.table(name)
        if ours is None or theirs is None or ours.kind not in "rp":
            continue
        compared += 1
        found = [*_differences(_parts(ours, source, carried), _parts(theirs, destination, carried))]
        if found:
            more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
            said = "; ".join(found[:_SHOWN]) + more
            differing.append(Check(name=f"structure {name}", passed=not demanded, detail=said))
    equal = compared - len(differing)
    summary = f"{equal:,} of {compared:,} tables are as in the source"
    return [*differing, Check(name="structure", passed=not (demanded and differing), detail=summary)]


def _differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterable[str]:
    for part in sorted(ours.keys() | theirs.keys()):
        if part not in theirs:
            yield f"{part} is in the source only"
        elif part not in ours:
            yield f"{part} is in the destination only"
        elif ours[part] != theirs[part]:
            yield f"{part} differs: {ours[part]} in the source, {theirs[part]} in the destination"


def _parts(table: Table, catalogue: Catalogue, carried: frozenset[TableName]) -> dict[str, str]:
    """Definition by part, such as ``column id``: names and SQL of the catalogue, nothing of a row."""
    found = {f"column {column.name}": _column(column) for column in table.columns}
    found |= {f"index {index.name}": index.definition for index in table.indexes}
    found |= {f"check {check.name}": check.definition for check in table.checks if not check.domain}
    found |= {f"trigger {trigger.name}": f"enabled {trigger.enabled}" for trigger in table.triggers if not trigger.on}
    found |= {f"partition {partition.name}": "" for partition in table.partitions}
    found |= {
        f"foreign key {key.name}": key.definition
        for key in catalogue.foreign_keys
        if key.table == table.name and key.references in carried
    }
    return found


def _column(column: Column) -> str:
    said = [column.type.name, "" if column.nullable else "NOT NULL", "with default" if column.has_default else ""]
    said += ["identity" if column.identity else "", "generated" if column.generated else ""]
    return " ".join(word for word in said if word)
