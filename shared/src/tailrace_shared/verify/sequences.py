"""Sequences after a load: the next value meets no key that was loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from tailrace_shared.messages import Check
from tailrace_shared.plan.model import Plan, SequenceStep
from tailrace_shared.types import qualified, quote_ident
from tailrace_shared.verify.answers import answers

_LIMITS: Final = """
SELECT q.place::int AS place, s.seqincrement, s.seqmax, s.seqmin
FROM unnest($1::text[]) WITH ORDINALITY AS q(name, place)
JOIN pg_catalog.pg_sequence s ON s.seqrelid = pg_catalog.to_regclass(q.name)
"""


async def sequence_checks(connection: asyncpg.Connection, plan: Plan, steps: Sequence[SequenceStep]) -> list[Check]:
    """The verdict on each sequence and the column that it feeds. Raises asyncpg's errors."""
    names = [qualified(step.schema_name, step.name) for step in steps]
    limits = {row["place"] - 1: row for row in await connection.fetch(_LIMITS, names)}
    questions = []
    for place, row in limits.items():
        step = steps[place]
        table, column = plan.table(step.table).name, quote_ident(step.column)
        extreme = "max" if row["seqincrement"] > 0 else "min"
        questions.append(f"SELECT {extreme}({column})::bigint FROM {qualified(table.schema_name, table.name)}")
        questions.append(
            f"SELECT CASE WHEN is_called THEN last_value + ({row['seqincrement']}) ELSE last_value END FROM {names[place]}"
        )
    found = await answers(connection, questions)
    asked = dict(zip(limits, zip(found[::2], found[1::2], strict=True), strict=True))
    checks = []
    for place, step in enumerate(steps):
        name, fed = f"sequence {step.schema_name}.{step.name}", f"{plan.table(step.table).name}.{step.column}"
        if place not in asked:
            checks.append(Check(name=name, passed=False, detail="there is no such sequence"))
            continue
        row, (extreme, following) = limits[place], asked[place]
        upwards = row["seqincrement"] > 0
        limit = row["seqmax"] if upwards else row["seqmin"]
        checks.append(judge_sequence(name, fed, following, extreme, limit, upwards))
    return checks


async def sequence_check(connection: asyncpg.Connection, plan: Plan, step: SequenceStep) -> Check:
    """The verdict on one sequence, as ``sequence_checks`` has it."""
    return (await sequence_checks(connection, plan, [step]))[0]


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
