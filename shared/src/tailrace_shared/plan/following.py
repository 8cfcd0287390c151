"""What a continuous run asks of its tables, generators and destination: everything that can be known before the first change."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace_shared.catalogue.model import Catalogue, Table
from tailrace_shared.generators import Constant, Null
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import ContinuousPlan, PlannedTable
from tailrace_shared.plan.problems import Problems


def plan_following(
    job: Job,
    tables: Sequence[PlannedTable],
    source: Catalogue,
    destination: Catalogue,
    replica_role: bool,
    problems: Problems,
) -> tuple[list[PlannedTable], ContinuousPlan | None]:
    """The tables with what identifies their rows, and how changes are applied; ``None`` for a job that runs once.

    Slot, snapshot and positions are the source's: the reader that plans fills them in.
    """
    if job.mode != "continuous":
        return list(tables), None
    if job.destination.mode == "append":
        problems.error(
            "continuous-append", job.name, "a continuous run cannot append: it changes and deletes what it has loaded",
            "Use the destination mode existing, truncate or create.",
        )  # fmt: skip
    if job.destination.constraints == "respect" and not replica_role:
        problems.error(
            "continuous-respect", job.name, "constraints: respect needs the replica role while changes are applied",
            "GRANT SET ON PARAMETER session_replication_role TO the destination's role, or use constraints: bypass.",
        )  # fmt: skip
    found = [_followed(table, source, destination, problems) for table in tables]
    may = replica_role or destination.can_replicate
    return found, ContinuousPlan(
        slot="",
        publication=job.continuous.publication or "",
        managed=job.continuous.publication is None,
        apply="replica-role" if may else "bare",
    )


def _followed(table: PlannedTable, source: Catalogue, destination: Catalogue, problems: Problems) -> PlannedTable:
    if table.mode == "truncate":
        return table
    theirs = source.table(table.name)
    if theirs is None:
        return table
    if table.mode not in ("carry", "duplicate") or table.view or table.materialised:
        problems.error(
            "continuous-table", table.name, "only tables that are read can be followed: no views, nothing generated",
            "Give it a job of its own that runs once, or set its mode to exclude.",
        )  # fmt: skip
        return table
    if table.filtered:
        problems.error(
            "continuous-filter", table.name, "rows that enter and leave a selection cannot be followed",
            "Carry all rows of the table, or give it a job of its own that runs once.",
        )  # fmt: skip
    if theirs.persistence != "p":
        problems.error(
            "continuous-unlogged", table.name, "its changes are not written to the WAL",
            "ALTER TABLE … SET LOGGED in the source, or set its mode to exclude.",
        )  # fmt: skip
    _check_generators(table, problems)
    identity = identity_of(theirs)
    if identity is None:
        problems.error(
            "continuous-identity", table.name,
            "it has no usable replica identity: once it is published, UPDATE and DELETE on it would fail in the source",
            "Give it a primary key that is not deferrable, or ALTER TABLE … REPLICA IDENTITY FULL, or set its mode to exclude.",
        )  # fmt: skip
        return table
    _check_identity(table, theirs, identity, destination, problems)
    return table.model_copy(update={"identity": identity})


def identity_of(table: Table) -> tuple[str, ...] | None:
    """The columns by which a change finds its row; empty: all of them together; None: no change could say which row it means."""
    primary = next((i for i in table.indexes if i.primary and i.immediate), None)
    named = next((i for i in table.indexes if i.identifies), None)
    key = {"d": primary, "i": named, "f": primary, "n": None}[table.replica_identity]
    if key is not None:
        return tuple(c for c in key.columns if c is not None)
    return () if table.replica_identity == "f" else None


def _check_generators(table: PlannedTable, problems: Problems) -> None:
    for column in table.columns:
        if not column.rule.row_local:
            problems.error(
                "continuous-generator", f"{table.name}.{column.name}",
                f"{column.rule.generator} makes a value from other rows than the one that has changed",
                "Choose a generator that looks at one row alone, such as key, mask or mock.",
            )  # fmt: skip


def _check_identity(
    table: PlannedTable, theirs: Table, identity: tuple[str, ...], destination: Catalogue, problems: Problems
) -> None:
    carried = {c.name: c for c in table.columns}
    needed = identity or tuple(c.name for c in theirs.columns if not c.generated)
    missing = [name for name in needed if name not in carried]
    if missing:
        problems.error(
            "continuous-key-not-carried", table.name, f"{', '.join(missing)} identifies its rows and is not carried",
            "Carry the column, or give the table a replica identity of carried columns.",
        )  # fmt: skip
    for name in identity:
        if name in carried and isinstance(carried[name].rule, Null | Constant):
            problems.error(
                "continuous-key-lost", f"{table.name}.{name}", "it identifies rows, and all would be alike",
                "Give it the rule key, or duplicate.",
            )  # fmt: skip
    there = destination.table(table.name)
    found = {frozenset(c for c in i.columns if c) for i in (there.indexes if there else ()) if i.unique and i.valid}
    if identity and there is not None and frozenset(identity) not in found:
        problems.warning(
            "continuous-no-index", table.name, f"no unique index of the destination is over {', '.join(identity)}",
            "Create one there: without it every change searches the whole table.",
        )  # fmt: skip
    if not identity:
        problems.warning(
            "continuous-no-key", table.name, "its rows are found by all their values, which searches the whole table",
            "Give it a primary key in the source.",
        )  # fmt: skip
