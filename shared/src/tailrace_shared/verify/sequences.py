"""Sequences after a load: the next value meets no key that was loaded."""

from __future__ import annotations

from typing import Final

import asyncpg

from tailrace_shared.messages import Check
from tailrace_shared.plan.model import Plan, SequenceStep
from tailrace_shared.types import qualified, quote_ident

_LIMITS: Final = "SELECT seqincrement, seqmax, seqmin FROM pg_catalog.pg_sequence WHERE seqrelid = $1::text::regclass"


async def sequence_check(connection: asyncpg.Connection, plan: Plan, step: SequenceStep) -> Check:
    """The verdict on a sequence and the column that it feeds. Raises asyncpg's errors."""
    table, sequence = plan.table(step.table).name, qualified(step.schema_name, step.name)
    limits = await connection.fetchrow(_LIMITS, sequence)
    name, fed = f"sequence {step.schema_name}.{step.name}", f"{table}.{step.column}"
    if limits is None:
        return Check(name=name, passed=False, detail="there is no such sequence")
    upwards = limits["seqincrement"] > 0
    extreme = await connection.fetchval(
        f"SELECT {'max' if upwards else 'min'}({quote_ident(step.column)})::bigint "
        f"FROM {qualified(table.schema_name, table.name)}"
    )
    following = await connection.fetchval(
        f"SELECT CASE WHEN is_called THEN last_value + $1::bigint ELSE last_value END FROM {sequence}",
        limits["seqincrement"],
    )
    return judge_sequence(name, fed, following, extreme, limits["seqmax"] if upwards else limits["seqmin"], upwards)


def judge_sequence(name: str, fed: str, following: int, extreme: int | None, limit: int, upwards: bool) -> Check:
    """``extreme`` is the column's largest value, or smallest of a descending sequence; None where it is empty."""
    if extreme is None:
        return Check(name=name, passed=True, detail=f"{fed} is empty")
    side = "above" if upwards else "below"
    clear = following > extreme if upwards else following < extreme
    used_up = extreme >= limit if upwards else extreme <= limit
    if not clear and used_up:
        return Check(name=name, passed=True, detail=f"{fed} holds the last value that it can give: it is used up")
    return Check(name=name, passed=clear, detail=f"the next value is {'' if clear else 'not '}{side} {fed}")
