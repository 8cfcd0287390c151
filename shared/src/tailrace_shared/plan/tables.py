"""What can be wrong with whole tables on either side, before any column is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Table, TableName
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ScopedTable

KINDS: Final = {"v": "the view", "m": "the materialised view", "f": "the foreign table"}
"""What is no table, by relkind."""


def check_tables(
    job: Job, scope: Mapping[TableName, ScopedTable], source: Catalogue, destination: Catalogue, problems: Problems
) -> None:
    """Missing and non-empty tables, foreign partitions, unlogged tables."""
    for scoped in scope.values():
        _check_source(scoped, problems)
        target = destination.table(scoped.name)
        if target is None:
            problems.error(
                "missing-table", scoped.name, "the destination has no such table",
                "Create it there with the source's definition, or exclude it.",
            )  # fmt: skip
        else:
            _check_destination(job, scoped, target, problems)


def _check_source(scoped: ScopedTable, problems: Problems) -> None:
    table = scoped.table
    if not scoped.loaded:
        return
    for partition in table.partitions:
        if partition.kind == "f":
            problems.error(
                "foreign-partition", partition.name, "a partition that is another server's table has no heap to read",
                f"Detach it, or exclude {scoped.name}.",
            )  # fmt: skip


def _check_destination(job: Job, scoped: ScopedTable, target: Table, problems: Problems) -> None:
    if target.kind not in ("r", "p"):
        what = KINDS[target.kind]
        problems.error(
            "not-a-table", scoped.name, f"in the destination this is {what}, not a table",
            f"Drop {what} there and create a table, or exclude it.",
        )  # fmt: skip
        return
    if (scoped.loaded or scoped.generated) and target.has_rows and job.destination.mode == "existing":
        problems.error(
            "not-empty", scoped.name, "the destination's table has rows",
            "Empty it, or set destination.mode: truncate.",
        )  # fmt: skip
    barren = scoped.table.kind == "p" and not scoped.table.partitions  # no row of the source can be without a partition
    if scoped.loaded and target.kind == "p" and not target.partitions and not barren:
        problems.error(
            "no-partition", scoped.name, "the destination's table has no partition", "Create its partitions."
        )
    if scoped.loaded and target.persistence == "u":
        problems.warning(
            "unlogged", scoped.name, "unlogged in the destination: a crash of that server empties it, after the run too",
            "ALTER TABLE … SET LOGGED there, unless that is wanted.",
        )  # fmt: skip
