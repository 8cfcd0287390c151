"""Foreign keys after a load, declared or virtual: no row points nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from tailrace_shared.messages import Check
from tailrace_shared.plan.model import ForeignKeyCheck
from tailrace_shared.types import qualified
from tailrace_shared.verify import queries
from tailrace_shared.verify.answers import answers

_STATES: Final = """
SELECT k.place::int AS place, c.convalidated
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(name, relation, place) JOIN pg_catalog.pg_constraint c
  ON c.contype = 'f' AND c.conname = k.name AND c.conrelid = pg_catalog.to_regclass(k.relation)
"""


async def foreign_key_checks(
    connection: asyncpg.Connection, keys: Sequence[ForeignKeyCheck], *, rebuilt: bool
) -> list[Check]:
    """The verdict on each key, by anti-join.

    ``rebuilt``: this very run has added the constraints anew, so that one that says it is valid has been looked at row by row.
    Otherwise it says nothing: rows loaded with triggers off were never looked at. Raises asyncpg's errors.
    """
    declared = [key for key in keys if not key.virtual]
    rows = await connection.fetch(
        _STATES, [key.name for key in declared], [qualified(key.table.schema_name, key.table.name) for key in declared]
    )
    states = {(key.table, key.name): None for key in declared} | {
        (declared[row["place"] - 1].table, declared[row["place"] - 1].name): row["convalidated"] for row in rows
    }
    valid = [None if key.virtual else states[key.table, key.name] for key in keys]
    counted = [place for place, state in enumerate(valid) if not (rebuilt and state)]
    orphans = dict(zip(counted, await answers(connection, [queries.orphans(keys[n]) for n in counted]), strict=True))
    checks = []
    for place, key in enumerate(keys):
        name = f"foreign key {key.table} {key.name}"
        if place in orphans:
            checks.append(judge_orphans(name, key, orphans[place], valid[place]))
        else:
            checks.append(Check(name=name, passed=True, detail="validated by PostgreSQL"))
    return checks


async def foreign_key_check(connection: asyncpg.Connection, key: ForeignKeyCheck, *, rebuilt: bool) -> Check:
    """The verdict on one key, as ``foreign_key_checks`` has it."""
    return (await foreign_key_checks(connection, [key], rebuilt=rebuilt))[0]


def judge_orphans(name: str, key: ForeignKeyCheck, orphans: int, valid: bool | None) -> Check:
    """``valid``: what PostgreSQL says of the constraint; None where it has none."""
    counted = f"{orphans:,} rows without a referenced row" if orphans else "no row without a referenced row"
    if key.virtual:
        counted = f"not declared there: {counted}"
    allowed = key.orphans or 0
    if allowed and orphans <= allowed:
        return Check(name=name, passed=True, detail=f"{counted}; the source has {allowed:,} itself")
    if orphans and key.orphans is None:
        return Check(name=name, passed=True, detail=f"{counted}; the source does not demand it, and was not counted")
    if orphans and valid is False:  # it was so before, and the plan gives it back as it was
        return Check(name=name, passed=True, detail=f"NOT VALID by its own definition: {counted}")
    return Check(name=name, passed=orphans == 0, detail=counted)
