"""Foreign keys of the destination: those that hold by construction, and those whose other side is not carried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tailrace_shared.catalogue.model import Catalogue, ForeignKey, TableName
from tailrace_shared.generators import Duplicate, Null
from tailrace_shared.plan.links import Meaning
from tailrace_shared.plan.model import ForeignKeyCheck, PlannedTable, Proof
from tailrace_shared.plan.problems import Problems


@dataclass(frozen=True)
class Sides:
    """A foreign key with the planned tables at its ends; None where a side is left alone."""

    key: ForeignKey
    child_name: TableName
    parent_name: TableName
    child: PlannedTable | None
    parent: PlannedTable | None


def sides_of(
    planned: Mapping[TableName, PlannedTable], destination: Catalogue, names: Mapping[TableName, TableName]
) -> list[Sides]:
    """The destination's foreign keys that touch a planned table, partitions' keys under their table."""
    found = []
    for key in destination.foreign_keys:
        child, parent = names.get(key.table, key.table), names.get(key.references, key.references)
        if child in planned or parent in planned:
            found.append(Sides(key, child, parent, planned.get(child), planned.get(parent)))
    return found


def carried_sides(sides: list[Sides]) -> list[Sides]:
    """Those without a generated table that draws or is drawn from: these are settled on their own."""
    return [
        side
        for side in sides
        if side.child is None or not any(table and table.mode == "generate" for table in (side.child, side.parent))
    ]


def checks_of(sides: list[Sides], destination: Catalogue) -> list[ForeignKeyCheck]:
    """What the verification looks for; a key that is not enforced demands nothing."""
    return [
        ForeignKeyCheck(
            name=s.key.name, table=s.key.table, columns=s.key.columns,
            references=s.key.references, referenced_columns=s.key.referenced_columns,
            only=is_inherited(destination, s.key.table), references_only=is_inherited(destination, s.key.references),
            operators=s.key.operators, temporal=s.key.temporal,
        )
        for s in sides if s.key.enforced
    ]  # fmt: skip


def is_inherited(catalogue: Catalogue, name: TableName) -> bool:
    """Whether other tables inherit from it, so that their rows are not its own. Partitions do not."""
    table = catalogue.table(name)
    return table is not None and table.kind == "r" and bool(table.inherited_by)


def prove_references(
    sides: list[Sides],
    source: Catalogue,
    destination: Catalogue,
    names: Mapping[TableName, TableName],
    respect: bool,
    problems: Problems,
    *,
    append: bool = False,
    held: Mapping[Meaning, str] = MappingProxyType({}),
    replica_role: bool = False,
    orphans: Mapping[Meaning, int] = MappingProxyType({}),
) -> list[Proof]:
    """A proof per foreign key; a side that is not carried is looked at on its own. ``append``: no row goes.

    ``held`` says why keys hold whose referenced rows are not all carried; ``orphans`` how many carried rows point nowhere, where
    the source does not guarantee a key and they were counted.
    """
    held_there = [key for key in source.foreign_keys if key.validated]
    guaranteed = {_meaning(key, names) for key in held_there}
    in_full = {_meaning(key, names) for key in held_there if _is_full(key)}
    found = []
    for side in sides:
        about = f"{side.key.table} foreign key {side.key.name}"
        if not side.key.enforced:
            continue
        if side.child is None and append:
            found.append(
                Proof(about=about, verdict="proved", reason="rows are only added to the table that it refers to")
            )
        elif side.child is None:
            found.append(_outside_child(about, side, destination, respect, problems))
        elif side.child.mode == "truncate":
            found.append(Proof(about=about, verdict="proved", reason="the table is empty"))
        elif points_nowhere(side):
            found.append(Proof(about=about, verdict="proved", reason="a NULL points nowhere"))
        elif torn := _torn(side):
            found.append(_refuse_torn(about, torn, problems))
        elif reason := held.get((*_meaning(side.key, names), ())):
            found.append(Proof(about=about, verdict="proved", reason=reason))
        elif side.parent is None or side.parent.mode == "truncate":
            found.append(_outside_parent(about, side, destination, problems))
        elif (counted := orphans.get((*_meaning(side.key, names), ()))) is not None:
            stays = not append and not side.key.validated and (replica_role or not respect)
            found.append(_counted(about, counted, stays, problems))
        elif _meaning(side.key, names) not in (in_full if _is_full(side.key) else guaranteed):
            problems.warning(
                "foreign-key-in-destination-only", about, "the source does not guarantee it",
                "Drop it there, or see to it that no row points nowhere: the run would fail at its end.",
            )  # fmt: skip
            found.append(Proof(about=about, verdict="verified-after", reason="the source does not guarantee it"))
        else:
            found.append(Proof(about=about, verdict="proved", reason="both sides map alike, by construction"))
    return found


def _counted(about: str, orphans: int, stays: bool, problems: Problems) -> Proof:
    """A key that the source does not guarantee. ``stays``: it is NOT VALID, and nobody tests it while loading."""
    if not orphans:
        return Proof(about=about, verdict="proved", reason="no row of the source points nowhere, counted")
    said = f"{orphans:,} rows of the source point nowhere"
    if stays:
        problems.warning(
            "foreign-key-not-valid", about, f"it is NOT VALID, and {said}: they arrive as they are, and it stays NOT VALID",
            "Nothing, unless somebody relies on it.",
        )  # fmt: skip
    else:
        problems.error(
            "foreign-key-broken-in-source", about, f"the destination enforces it, and {said}",
            "Drop it there, mend the rows, or leave them out with `where`.",
        )  # fmt: skip
    return Proof(about=about, verdict="verified-after", reason=said)


def _meaning(
    key: ForeignKey, names: Mapping[TableName, TableName]
) -> tuple[TableName, TableName, frozenset[tuple[str, str]]]:
    """What a foreign key says, whatever its name and whichever partition it is on."""
    pairs = frozenset(zip(key.columns, key.referenced_columns, strict=True))
    return names.get(key.table, key.table), names.get(key.references, key.references), pairs


def points_nowhere(side: Sides) -> bool:
    """One NULL column is enough under MATCH SIMPLE, all are under MATCH FULL."""
    nulled = _nulled(side)
    return len(nulled) == len(side.key.columns) if _is_full(side.key) else bool(nulled)


def _nulled(side: Sides) -> list[str]:
    """Columns of the key that the rule null empties."""
    columns = {c.name: c for c in side.child.columns} if side.child else {}
    return [n for n in side.key.columns if n in columns and isinstance(columns[n].rule, Null)]


def _is_full(key: ForeignKey) -> bool:
    """All columns are NULL, or none."""
    return "MATCH FULL" in key.definition and len(key.columns) > 1


def _torn(side: Sides) -> list[str]:
    """Columns that become NULL beside others that do not, which MATCH FULL forbids."""
    nulled = _nulled(side)
    return nulled if _is_full(side.key) and len(nulled) < len(side.key.columns) else []


def _refuse_torn(about: str, torn: list[str], problems: Problems) -> Proof:
    names = ", ".join(torn)
    problems.error(
        "torn-reference", about, f"{names} becomes NULL and the rest of the key does not: it takes all NULL or none (MATCH FULL)",
        "Give all of its columns the rule null, or none.",
    )  # fmt: skip
    return Proof(about=about, verdict="verified-after", reason="MATCH FULL takes all NULL or none")


def _outside_child(about: str, side: Sides, destination: Catalogue, respect: bool, problems: Problems) -> Proof:
    """A table that is left alone refers to one that is replaced."""
    child = destination.table(side.child_name)
    if child is None or child.has_rows is not False:
        know = "may hold" if child is None or child.has_rows is None else "holds"
        problems.error(
            "outside-rows", about, f"{side.child_name} is left alone, {know} rows, and they refer to {side.parent_name}",
            f"Carry or truncate {side.child_name}, or empty it before the run.",
        )  # fmt: skip
    elif respect:
        problems.error(
            "outside-reference", about,
            f"{side.child_name} is left alone and refers to {side.parent_name}, which then cannot be truncated",
            f"Set {side.child_name} to mode truncate, or use constraints: bypass.",
        )  # fmt: skip
    return Proof(about=about, verdict="proved", reason=f"{side.child_name} is empty")


def _outside_parent(about: str, side: Sides, destination: Catalogue, problems: Problems) -> Proof:
    """A carried table refers to one that gets no rows."""
    columns = {c.name: c for c in side.child.columns} if side.child else {}
    parent = destination.table(side.parent_name)
    duplicated = all(n in columns and isinstance(columns[n].rule, Duplicate) for n in side.key.columns)
    empty = side.parent is not None or (parent is not None and parent.has_rows is False)
    names = ", ".join(side.key.columns)
    if duplicated and not empty:
        problems.warning(
            "outside-parent", about, f"{side.parent_name} is left alone: its rows must hold all values of {names}",
            f"Carry {side.parent_name} too, or see to it that it has them: the run would fail at its end.",
        )  # fmt: skip
    else:
        why = "will be empty" if empty else "is left alone, and masked keys do not exist there"
        problems.error(
            "outside-parent", about, f"{names} refers to {side.parent_name}, which {why}",
            f"Carry {side.parent_name}, or give {names} the rule null.",
        )  # fmt: skip
    return Proof(about=about, verdict="verified-after", reason=f"{side.parent_name} is not carried")
