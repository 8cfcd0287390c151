"""Many questions of one value each, asked in few round trips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

_AT_ONCE = 40
"""Questions per statement: beyond that the server's work is all there is."""


async def answers(connection: asyncpg.Connection, questions: Sequence[str], *arguments: object) -> list[Any]:
    """What each of the queries returns in its one row and column, in their order; ``arguments`` are those of all of them.

    Raises asyncpg's errors: of the first question that cannot be answered.
    """
    found: list[Any] = []
    for first in range(0, len(questions), _AT_ONCE):
        asked = questions[first : first + _AT_ONCE]
        row = await connection.fetchrow(
            "SELECT " + ", ".join(f"({question}) AS a{place}" for place, question in enumerate(asked)), *arguments
        )
        assert row is not None
        found += row.values()
    return found
