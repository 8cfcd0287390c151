"""Questions about the carried rows: one at a time, as the role's sessions understand names, and not for ever."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from tailrace_shared.deadline import Deadline
from tailrace_shared.postgres import map_error, translated

QUESTION_MS: Final = 120_000
"""Longest time for one question: without its answer there is no plan."""
ALL_QUESTIONS_S: Final = 900.0
"""Longest time for all of them together: the snapshot is held meanwhile."""
ORDERED: Final = (
    "SET LOCAL synchronize_seqscans = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL enable_tidscan = on; "
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; "
    "SET LOCAL enable_bitmapscan = off"
)
"""Rows in ctid order without a sort, so that a scan may stop early."""


class ScopeAsker:
    """Asks one question at a time, with the session's own search path, and not for ever."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._deadline = Deadline.after(ALL_QUESTIONS_S)

    async def value(self, question: str, *, raises: bool = False, path: str | None = None) -> Any:
        """A single value; None where it takes too long, or the source refuses. ``path``: under this search path."""
        rows = await self.rows(question, raises=raises, late=None, path=path)
        return rows[0][0] if rows else None

    async def rows(
        self,
        question: str,
        *parameters: object,
        ordered: bool = False,
        raises: bool = False,
        late: Any = (),
        path: str | None = None,
    ) -> Any:
        """Rows; ``late`` where they take too long or the source refuses. ``raises`` lets its refusal through."""
        if self._deadline.expired:
            return late
        with translated():
            # The readers begin the snapshot's transaction by a statement; asyncpg's own transactions refuse to nest in such a one.
            nested = self._connection.is_in_transaction()
            await self._connection.execute("SAVEPOINT scope" if nested else "BEGIN READ ONLY")
        try:
            limit = f"SET LOCAL statement_timeout = {QUESTION_MS}"
            await self._connection.execute(f"{limit}; {ORDERED}" if ordered else limit)
            if path is not None:
                await self._connection.execute(f"SET LOCAL search_path = {path}")
            return await self._connection.fetch(question, *parameters)
        except asyncpg.QueryCanceledError:
            return late
        except asyncpg.PostgresError as error:
            if isinstance(error, asyncpg.PostgresConnectionError):
                raise map_error(error) from None
            if raises:
                raise
            return late
        except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise map_error(error) from None
        finally:
            if not self._connection.is_closed():
                with translated():
                    # drops the locks and the time limit
                    await self._connection.execute("ROLLBACK TO SAVEPOINT scope" if nested else "ROLLBACK")
