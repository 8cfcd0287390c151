"""Foreign keys after a load, declared or virtual: no row points nowhere."""

from __future__ import annotations

from typing import Final

import asyncpg

from tailrace_shared.messages import Check
from tailrace_shared.plan.model import ForeignKeyCheck
from tailrace_shared.types import qualified
from tailrace_shared.verify import queries

_STATE: Final = """
SELECT convalidated FROM pg_catalog.pg_constraint
WHERE contype = 'f' AND conname = $1 AND conrelid = pg_catalog.to_regclass($2)
"""


async def foreign_key_check(connection: asyncpg.Connection, key: ForeignKeyCheck, *, rebuilt: bool) -> Check:
    """The verdict on one key, by anti-join.

    ``rebuilt``: this very run has added the constraint anew, so that one that says it is valid has been looked at row by row.
    Otherwise it says nothing: rows loaded with triggers off were never looked at. Raises asyncpg's errors.
    """
    name = f"foreign key {key.table} {key.name}"
    valid = None
    if not key.virtual:
        where = qualified(key.table.schema_name, key.table.name)
        valid = await connection.fetchval(_STATE, key.name, where)
        if rebuilt and valid:
            return Check(name=name, passed=True, detail="validated by PostgreSQL")
    orphans = await connection.fetchval(queries.orphans(key))
    return judge_orphans(name, key, orphans, valid)


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
