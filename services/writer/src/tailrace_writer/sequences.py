"""Sequences of the destination start in the first integer region above the largest loaded key.

Masked keys stay in the region of their source, so the region above is free of them for good: the environment's own inserts
never meet a key that Tailrace loads.
"""

from __future__ import annotations

import asyncpg

from tailrace_shared.generators.regions import first_free_above
from tailrace_shared.plan.model import Plan, SequenceStep
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident


def sequence_start(largest: int | None, maximum: int) -> int | None:
    """The next value that a sequence should give; None where it may stay as it is (nothing loaded that it could meet).

    Where the region above is beyond the sequence's maximum (an int2, or a key in the column's top region), right above the
    largest key; a plan warns of that. A full sequence stays at its maximum and says so at its next use.
    """
    if largest is None or largest < 1:
        return None
    start = first_free_above(largest)
    return start if start <= maximum else min(largest + 1, maximum)


async def set_sequences(connection: asyncpg.Connection, plan: Plan) -> None:
    """Set every sequence of the plan; setting it again to the same place is fine.

    Columns may share a sequence, by their defaults: it starts above the largest key of all of them.
    """
    shared: dict[tuple[str, str], list[SequenceStep]] = {}
    for step in plan.sequences:
        shared.setdefault((step.schema_name, step.name), []).append(step)
    for (schema, name), steps in shared.items():
        with translated():
            keys = [await largest_key(connection, plan, step) for step in steps]
            largest = max((key for key in keys if key is not None), default=None)
            limits = await connection.fetchrow(
                "SELECT max_value, increment_by FROM pg_catalog.pg_sequences WHERE schemaname = $1 AND sequencename = $2",
                schema, name,
            )  # fmt: skip
            if limits is None or limits["increment_by"] < 0:
                continue  # a descending sequence runs away from positive keys
            start = sequence_start(largest, limits["max_value"])
            if start is not None:
                await connection.execute(
                    "SELECT pg_catalog.setval($1::regclass, $2, false)", qualified(schema, name), start
                )


async def largest_key(connection: asyncpg.Connection, plan: Plan, step: SequenceStep) -> int | None:
    """The largest value in the column that the sequence serves."""
    table = plan.table(step.table).name
    largest = await connection.fetchval(
        f"SELECT max({quote_ident(step.column)})::bigint FROM {qualified(table.schema_name, table.name)}"
    )
    return None if largest is None else int(largest)
