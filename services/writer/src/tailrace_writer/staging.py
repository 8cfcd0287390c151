"""Where an attempt's rows are: in the table itself, or, in the mode append, in a staging table until all are moved at once.

Staging tables are ordinary ones, logged like the ledger: a crash of the destination's server leaves both or neither. Unlogged they
would come back empty beside a ledger that says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.append import staging_table
from tailrace_shared.plan.model import DdlStep, ForeignKeyCheck, Plan, PlannedTable
from tailrace_shared.types import qualified
from tailrace_shared.verify.queries import unreferenced


def place(plan: Plan, table: PlannedTable) -> TableName:
    """The table that holds the attempt's rows until the run is done."""
    return staging_table(plan.run, plan.attempt, table.number) if plan.mode == "append" else table.name


def placed(plan: Plan, table: PlannedTable) -> PlannedTable:
    """The table as batches are written to it."""
    return table.model_copy(update={"name": place(plan, table)})


def steps_before(plan: Plan) -> Sequence[DdlStep]:
    """What is done to the destination before loading. In the mode append triggers step aside for the move only."""
    return [step for step in plan.ddl if plan.mode != "append" or step.kind == "append"]


async def analyze(connection: asyncpg.Connection, plan: Plan) -> None:
    """Statistics of the staging tables, for the checks and the move."""
    for table in plan.tables:
        await connection.execute(f"ANALYZE {quoted(place(plan, table))}")


def orphans(plan: Plan, key: ForeignKeyCheck, *, moved: bool) -> str | None:
    """SQL: staged rows whose referenced row is not there, nor staged while nothing is ``moved``. None where only the move can tell:
    a key of one partition, or to a table that is not carried."""
    numbers = {table.name: table for table in plan.tables}
    child, parent = numbers.get(key.table), numbers.get(key.references)
    if child is None or (parent is None and not moved):
        return None
    parents = [f"{'ONLY ' if key.references_only else ''}{quoted(key.references)}"]
    if parent is not None and not moved:
        parents.append(quoted(place(plan, parent)))
    return unreferenced(key, quoted(place(plan, child)), parents)


def quoted(name: TableName) -> str:
    """The name as SQL."""
    return qualified(name.schema_name, name.name)
