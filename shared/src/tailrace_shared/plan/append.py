"""Mode append: batches fill staging tables, and one transaction at the end moves all of them into the tables that are there.

What the destination holds is never read for a proof: masked keys keep their form, so they may meet keys that are there, and a
constraint decides that at the move, where it costs nothing but the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tailrace_shared.catalogue.model import Catalogue, Table, TableName
from tailrace_shared.generators.regions import POSITIVE_STARTS
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.ddl import respect_steps
from tailrace_shared.plan.model import DdlStep, PlannedColumn, PlannedTable, Proof
from tailrace_shared.plan.order import components
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.references import Sides
from tailrace_shared.plan.scope import RESERVED_SCHEMA, ScopedTable
from tailrace_shared.types import qualified, quote_ident


class Append(NamedTuple):
    """How the move is made."""

    steps: tuple[DdlStep, ...]
    """One ``append`` step per table, in the order of the move, and ``trigger`` steps for the move's own transaction."""
    replica_role: bool
    """The move runs under the replica role, and looks for orphans itself."""


def staging_table(run: str, attempt: int, number: int) -> TableName:
    """Where an attempt's rows of one table wait for the move."""
    return TableName(schema_name=RESERVED_SCHEMA, name=f"append_{run.lower()}_{attempt}_{number}")


def check_job(job: Job, scope: Mapping[TableName, ScopedTable], problems: Problems) -> None:
    """Nothing is emptied where rows are only added, and what is moved at the end cannot be followed before."""
    if job.mode == "continuous":
        problems.error(
            "append-continuous", "destination.mode", "append adds rows once, at the end of a run, and mode continuous has none",
            "Use mode once, or another destination.mode.",
        )  # fmt: skip
    for scoped in scope.values():
        if scoped.mode == "truncate":
            problems.error(
                "append-truncate", scoped.name, "mode truncate empties a table, and destination.mode append only adds rows",
                "Set its mode to exclude, or choose another destination.mode.",
            )  # fmt: skip


def plan_append(
    planned: Sequence[PlannedTable],
    sides: Sequence[Sides],
    destination: Catalogue,
    run: str,
    attempt: int,
    problems: Problems,
) -> Append:
    """Staging tables in the order of the move; triggers and foreign keys of a cycle that step aside for it.

    A statement's own rows may refer to each other, and deferrable keys wait for the end of the transaction: only a cycle without
    a deferrable key needs the replica role.
    """
    order, cyclic = _order(planned, sides)
    fired = respect_steps(planned, destination, False)
    foreign = any("OWNER" not in destination.privileges.get(str(step.table), ("OWNER",)) for step in fired)
    replica_role = destination.can_replicate and (bool(cyclic) or foreign)
    if not replica_role:
        for first, *others in cyclic:
            beside = "".join(f" with {side.key.table} {side.key.name}" for side in others)
            problems.error(
                "cycle", f"{first.key.table} foreign key {first.key.name}",
                f"it forms a cycle{beside}, none of it is deferrable, and constraints stay in force",
                "Make one of them DEFERRABLE there, or grant SET ON PARAMETER session_replication_role to the role (15+).",
            )  # fmt: skip
    by_number = {table.number: table for table in planned}
    staged = [_step(place, by_number[number], run, attempt) for place, number in enumerate(order)]
    aside = respect_steps(planned, destination, True) if replica_role else fired
    triggers = [step.model_copy(update={"number": len(staged) + step.number}) for step in aside]
    return Append((*staged, *triggers), replica_role)


def _step(place: int, table: PlannedTable, run: str, attempt: int) -> DdlStep:
    """The columns that are carried, with the types that they have there and nothing else of the table."""
    name = staging_table(run, attempt, table.number)
    columns = ", ".join(quote_ident(column.name) for column in table.columns)
    staging = qualified(name.schema_name, name.name)
    return DdlStep(
        number=place,
        kind="append",
        table=table.name,
        name=name.name,
        drop=f"CREATE TABLE {staging} AS SELECT {columns} FROM {qualified(table.name.schema_name, table.name.name)} WITH NO DATA",
        rebuild=(f"DROP TABLE IF EXISTS {staging}",),
    )


def _order(planned: Sequence[PlannedTable], sides: Sequence[Sides]) -> tuple[list[int], list[list[Sides]]]:
    """Table numbers, parents first; and, cycle by cycle, the keys that no order serves."""
    edges: dict[int, set[int]] = {}
    waiting = [
        side for side in sides
        if side.child and side.parent and side.child is not side.parent and side.key.enforced and not side.key.deferrable
    ]  # fmt: skip
    for side in waiting:
        assert side.child is not None
        assert side.parent is not None
        edges.setdefault(side.child.number, set()).add(side.parent.number)
        edges.setdefault(side.parent.number, set())
    component = components(edges)  # in the order in which Tarjan's algorithm completes them: what is pointed to first
    order = [*component, *(t.number for t in planned if t.number not in component)]
    cycles: dict[int, list[Sides]] = {}
    for side in waiting:
        if side.child and side.parent and component[side.child.number] == component[side.parent.number]:
            cycles.setdefault(component[side.child.number], []).append(side)
    return order, list(cycles.values())


def temper_proofs(
    proofs: Sequence[Proof],
    planned: Sequence[PlannedTable],
    source: Catalogue,
    destination: Catalogue,
    problems: Problems,
) -> list[Proof]:
    """Proofs that hold among the new rows alone: where rows are there already, unique keys are decided at the move."""
    tempered = {proof.about: proof for proof in proofs}
    for table in planned:
        ours, theirs = source.table(table.name), destination.table(table.name)
        if ours is None or theirs is None or theirs.has_rows is False:
            continue
        columns = {column.name: column for column in table.columns}
        chances = []
        for index in theirs.indexes:
            about = f"{table.name} {'exclusion' if index.exclusion else 'unique'} {index.name}"
            if about not in tempered or not (index.unique or index.exclusion):
                continue
            words = _chance([columns[c] for c in index.columns if c in columns], ours, theirs)
            chances.append(f"{index.name} ({words})")
            reason = f"{tempered[about].reason}, among the new rows; beside those that are there: {words}"
            tempered[about] = Proof(about=about, verdict="verified-after", reason=reason)
        if chances:
            problems.warning(
                "append-collision", table.name, f"rows that are there may hold the same values: {', '.join(chances)}",
                "The run then fails at its end and changes nothing: remove those rows, or carry others (`where`).",
            )  # fmt: skip
    return list(tempered.values())


def _chance(columns: Sequence[PlannedColumn], ours: Table, theirs: Table) -> str:
    """How likely new values are to meet old ones, in words: n·m/N where all are numbers that statistics know."""
    if columns and not any(column.masked for column in columns):
        return "values as the source has them"
    spaces = [space for column in columns if (space := _space(column, ours)) is not None]
    if len(spaces) < len(columns) or ours.rows < 0 or theirs.rows < 0:
        return "values keep their form, so they may agree"
    expected = ours.rows * theirs.rows / max(1.0, float(max(spaces)))
    return f"about {expected:.1g} agree by chance, by the statistics; all do if they come from the same source rows"


def _space(column: PlannedColumn, ours: Table) -> int | None:
    """N of one column; for integers the region in which as many keys as there are rows would lie."""
    if column.mask is None:
        return None
    if column.rule.generator == "key" and column.mask.family == "integer":
        ends = [end for end in POSITIVE_STARTS[1:] if end > ours.rows]
        return ends[0] if ends else None
    return column.rule.output_space(column.mask)
