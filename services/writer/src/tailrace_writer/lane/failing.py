"""How following a lane ends before its time: for one table, or for all of them."""

from __future__ import annotations

from tailrace_shared.errors import TailraceError
from tailrace_writer.lane.position import Gap

TABLE_ERRORS = frozenset({"22", "23", "42", "0A"})
"""Classes of SQLSTATE that say that what comes does not fit the table. Others are the server's troubles, and pass."""


class Broken(Exception):
    """Changes are missing; whoever hears of it loads anew."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(gap.why)
        self.gap = gap


class TableFailed(Exception):
    """The changes of one table cannot be applied."""

    def __init__(self, table: int, error: TailraceError) -> None:
        super().__init__(error.message)
        self.table = table
        self.error = error
