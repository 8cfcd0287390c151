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
from tailrace_shared.types import qualified, quote_ident


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


def orphans(plan: Plan, key: ForeignKeyCheck) -> str | None:
    """SQL: staged rows whose referenced row is neither staged nor there. None where only the move can tell."""
    numbers = {table.name: table for table in plan.tables}
    child, parent = numbers.get(key.table), numbers.get(key.references)
    if child is None or parent is None:
        return None
    there = f"{missing(key, key.references)} AND {missing(key, place(plan, parent))}"
    return f"SELECT count(*) FROM {quoted(place(plan, child))} c WHERE {_present(key)} AND {there}"


def staged_orphans(plan: Plan, key: ForeignKeyCheck) -> str | None:
    """SQL: staged rows whose referenced row is not there, once all are. None where no carried table refers."""
    child = next((table for table in plan.tables if table.name == key.table), None)
    if child is None:
        return None
    return (
        f"SELECT count(*) FROM {quoted(place(plan, child))} c WHERE {_present(key)} AND {missing(key, key.references)}"
    )


def missing(key: ForeignKeyCheck, parent: TableName) -> str:
    """Condition over a row ``c``: the table has no row that it refers to."""
    pairs = zip(key.referenced_columns, key.columns, strict=True)
    equal = " AND ".join(f"p.{quote_ident(theirs)} = c.{quote_ident(ours)}" for theirs, ours in pairs)
    return f"NOT EXISTS (SELECT FROM {quoted(parent)} p WHERE {equal})"


def _present(key: ForeignKeyCheck) -> str:
    """As MATCH SIMPLE sees it: a NULL in the key exempts."""
    return " AND ".join(f"c.{quote_ident(column)} IS NOT NULL" for column in key.columns)


def quoted(name: TableName) -> str:
    """The name as SQL."""
    return qualified(name.schema_name, name.name)
