"""Sequences of the destination start in the first integer region above the largest loaded key.

Masked keys stay in the region of their source, so the region above is free of them for good: the environment's own inserts
never meet a key that Tailrace loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators.regions import first_free_above
from tailrace_shared.plan.model import Plan, SequenceStep
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified
from tailrace_shared.verify import queries
from tailrace_shared.verify.answers import answers
from tailrace_writer.staging import place

Columns = list[tuple[TableName, str]]


def sequence_start(largest: int | None, maximum: int) -> int | None:
    """The next value that a sequence should give; None where it may stay as it is (nothing loaded that it could meet).

    Where the region above is beyond the sequence's maximum (an int2, or a key in the column's top region), right above the
    largest key; a plan warns of that. A full sequence stays at its maximum and says so at its next use.
    """
    if largest is None or largest < 1:
        return None
    start = first_free_above(largest)
    return start if start <= maximum else min(largest + 1, maximum)


def descending_start(smallest: int | None, minimum: int) -> int | None:
    """The same for a sequence that counts down: it starts in the first region below the smallest loaded key."""
    if smallest is None or smallest >= 0:
        return None
    start = ~first_free_above(~smallest)
    return start if start >= minimum else max(smallest - 1, minimum)


def just_beyond(extreme: int, following: int, limits: asyncpg.Record, *, down: bool) -> int | None:
    """Where a sequence that begins on the other side of zero goes on: right beyond the keys. None where it is there already."""
    if down:
        return None if following < extreme else max(extreme - 1, limits["min_value"])
    return None if following > extreme else min(extreme + 1, limits["max_value"])


class Moved(NamedTuple):
    """A sequence that was set, and what it was before."""

    name: str
    """Quoted, with its schema."""
    start: int
    """The value that it gives next."""
    last: int
    called: bool


async def put_back(connection: asyncpg.Connection, moved: Sequence[Moved]) -> None:
    """Set sequences to what they were, since no transaction does that. One that somebody has used meanwhile stays."""
    with translated():
        for sequence in moved:
            await connection.execute(
                f"SELECT pg_catalog.setval($1::text::regclass, $2, $3) FROM {sequence.name} "
                "WHERE last_value = $4 AND NOT is_called",
                sequence.name, sequence.last, sequence.called, sequence.start,
            )  # fmt: skip


async def set_sequences(
    connection: asyncpg.Connection, plan: Plan, *, behind: bool = False, moved: list[Moved] | None = None
) -> None:
    """Set every sequence of the plan; setting it again to the same place is fine. ``behind``: only those that would give a key
    that is there.

    Columns may share a sequence, by their defaults: it starts above the largest key of all of them. In the mode append one that
    gives free values above the region of the new keys already stays where it is: each load would push it into the next region.
    ``moved`` gets what they were, before any of them is set.
    """
    shared: dict[tuple[str, str], list[SequenceStep]] = {}
    for step in plan.sequences:
        shared.setdefault((step.schema_name, step.name), []).append(step)
    starts: list[tuple[str, int]] = []
    with translated():
        every_limit = await _limits(connection, list(shared))
        fed_by = {
            name: [(plan.table(step.table).name, step.column) for step in steps] for name, steps in shared.items()
        }
        largest_of = await _largest_of(connection, fed_by)
        for (schema, name), steps in shared.items():
            largest, fed, limits = largest_of[schema, name], fed_by[schema, name], every_limit.get((schema, name))
            if behind and (largest is None or await _following(connection, schema, name) > largest):
                continue
            if limits is None:
                continue
            down = limits["increment_by"] < 0
            if plan.mode == "append":
                staged = [(place(plan, plan.table(step.table)), step.column) for step in steps]
                if await _gives_free(connection, await _following(connection, schema, name), staged, fed, down=down):
                    continue
            if down:
                extreme = await _smallest(connection, fed)
                start = descending_start(extreme, limits["min_value"])
            else:
                extreme = largest
                start = sequence_start(largest, limits["max_value"])
            if start is None and extreme is not None:
                start = just_beyond(extreme, await _following(connection, schema, name), limits, down=down)
            if start is not None:
                starts.append((qualified(schema, name), start))
        for name, start in starts if moved is not None else ():
            before = await connection.fetchrow(f"SELECT last_value, is_called FROM {name}")
            assert moved is not None
            assert before is not None
            moved.append(Moved(name, start, before["last_value"], before["is_called"]))
        await connection.executemany("SELECT pg_catalog.setval($1::text::regclass, $2, false)", starts)


async def _limits(
    connection: asyncpg.Connection, names: list[tuple[str, str]]
) -> dict[tuple[str, str], asyncpg.Record]:
    rows = await connection.fetch(
        "SELECT schemaname::text, sequencename::text, max_value, min_value, increment_by FROM pg_catalog.pg_sequences "
        "JOIN unnest($1::text[], $2::text[]) AS k(schema, name) ON schemaname = k.schema AND sequencename = k.name",
        [schema for schema, _ in names], [name for _, name in names],
    )  # fmt: skip
    return {(row["schemaname"], row["sequencename"]): row for row in rows}


async def _largest_of(
    connection: asyncpg.Connection, fed: Mapping[tuple[str, str], Columns]
) -> dict[tuple[str, str], int | None]:
    """Per sequence the largest key of the columns that it feeds."""
    columns = [(name, column) for name, some in fed.items() for column in some]
    keys = await answers(connection, [queries.largest(*column) for _, column in columns])
    largest: dict[tuple[str, str], int | None] = dict.fromkeys(fed)
    for (name, _), key in zip(columns, keys, strict=True):
        known = largest[name]
        if key is not None:
            largest[name] = int(key) if known is None else max(int(key), known)
    return largest


async def _gives_free(
    connection: asyncpg.Connection, following: int, added: Columns, all_keys: Columns, *, down: bool
) -> bool:
    """Whether the next value is beyond all keys, and beyond the region of those that were added; or nothing was."""
    if down:
        low, lowest = await _smallest(connection, added), await _smallest(connection, all_keys)
        free = low is None or low >= 0 or following <= ~first_free_above(~low)
        return free and (low is None or lowest is None or following < lowest)
    high, highest = await _largest(connection, added), await _largest(connection, all_keys)
    return high is None or (following >= first_free_above(high) and following > (highest or 0))


async def _following(connection: asyncpg.Connection, schema: str, name: str) -> int:
    following: int = await connection.fetchval(queries.next_value(schema, name), qualified(schema, name))
    return following


async def _largest(connection: asyncpg.Connection, columns: Columns) -> int | None:
    """The largest value of several columns."""
    keys = [await connection.fetchval(queries.largest(table, column)) for table, column in columns]
    return max((int(key) for key in keys if key is not None), default=None)


async def _smallest(connection: asyncpg.Connection, columns: Columns) -> int | None:
    """The smallest value of several columns."""
    keys = [await connection.fetchval(queries.smallest(table, column)) for table, column in columns]
    return min((int(key) for key in keys if key is not None), default=None)
