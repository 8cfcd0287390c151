"""The SQL of applying folded changes to one table, through temporary tables that COPY fills.

Rows of one fold differ in which columns they have brought; rows that brought the same columns have the same *pattern*, and each
pattern has a statement of its own: it leaves alone what did not come, and an index that no changed column is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace_shared.plan.model import PlannedColumn, PlannedTable
from tailrace_shared.types import ColumnType, qualified, quote_ident

PATTERN = "tailrace pattern"
COPIES = "tailrace copies"
_INTEGER = ColumnType(name="bigint", base="int8", family="integer")
_COMPARED_AS_TEXT = frozenset({"json", "other"})
"""Families with types that have no equality: their texts are compared."""


@dataclass(frozen=True)
class LaneTable:
    """One planned table: its names, and every statement that applying needs.

    ``identity``: the columns that a row is found by; empty where rows are their values.
    """

    table: PlannedTable
    identity: tuple[str, ...]
    partitioned: bool = False

    @property
    def name(self) -> str:
        """The table, quoted."""
        return qualified(self.table.name.schema_name, self.table.name.name)

    @property
    def only(self) -> str:
        """The table and none that inherit from it; a partitioned one has no rows but theirs."""
        return self.name if self.partitioned else f"ONLY {self.name}"

    @property
    def rows(self) -> str:
        """Name of the temporary table of whole rows."""
        return f"tailrace_lane_rows_{self.table.number}"

    @property
    def keys(self) -> str:
        """Name of the temporary table of keys (of whole rows where rows are their values)."""
        return f"tailrace_lane_keys_{self.table.number}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Carried columns, in the order of the plan."""
        return tuple(c.name for c in self.table.columns)

    def row_columns(self) -> tuple[PlannedColumn, ...]:
        """Columns of the temporary table of rows: the row, the key that it had, its pattern."""
        olds = (c.model_copy(update={"name": self._old[c.name]}) for c in self._identity)
        return (*self.table.columns, *olds, _integer(self.table.columns[0], PATTERN))

    def key_columns(self) -> tuple[PlannedColumn, ...]:
        """Columns of the temporary table of keys."""
        return self._identity if self.identity else (*self.table.columns, _integer(self.table.columns[0], COPIES))

    def create(self) -> str:
        """Both temporary tables, once per session; they are empty after every transaction."""
        olds = [f"{quote_ident(n)} AS {quote_ident(self._old[n])}" for n in self.identity]
        rows = [*map(quote_ident, self.columns), *olds, f"0::bigint AS {quote_ident(PATTERN)}"]
        keys = [*map(quote_ident, self.identity)] or [
            *map(quote_ident, self.columns), f"0::bigint AS {quote_ident(COPIES)}",
        ]  # fmt: skip
        made = "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA"
        return ";".join(
            made.format(temporary, ", ".join(columns), self.name)
            for temporary, columns in ((self.rows, rows), (self.keys, keys))
        )

    def drop(self) -> str:
        """Both temporary tables go: the table has another shape."""
        return f"DROP TABLE IF EXISTS pg_temp.{self.rows}, pg_temp.{self.keys}"

    def delete(self) -> str:
        """Rows whose keys are in the temporary table of keys."""
        return f"DELETE FROM {self.only} AS t USING {self.keys} AS s WHERE {self._same('t', 's')}"

    def delete_copies(self) -> str:
        """As many of equal rows as the temporary table says."""
        return (
            f"DELETE FROM {self.only} WHERE (tableoid, ctid) IN (SELECT place, item FROM ("
            "SELECT t.tableoid AS place, t.ctid AS item, "
            f"row_number() OVER (PARTITION BY s.ctid) AS nth, s.{quote_ident(COPIES)} AS copies FROM {self.only} AS t "
            f"JOIN {self.keys} AS s ON {' AND '.join(map(self._equal, self.table.columns))}) AS found WHERE nth <= copies)"
        )

    def update(self, pattern: int, present: Sequence[str]) -> str:
        """Rows of a pattern that keep their key: set what came. Empty where nothing but the key did."""
        given = [n for n in present if n not in self.identity]
        if not given:
            return ""
        sets = ", ".join(f"{quote_ident(n)} = s.{quote_ident(n)}" for n in given)
        where = f"s.{quote_ident(PATTERN)} = {pattern} AND {self._same('t', 's')}"
        return f"UPDATE {self.only} AS t SET {sets} FROM {self.rows} AS s WHERE {where}"

    def fill(self, pattern: int, absent: Sequence[str]) -> str:
        """Take what did not come from the stored rows, before they go."""
        sets = ", ".join(f"{quote_ident(n)} = t.{quote_ident(n)}" for n in absent)
        where = f"s.{quote_ident(PATTERN)} = {pattern} AND {self._were('t', 's')}"
        return f"UPDATE {self.rows} AS s SET {sets} FROM {self.only} AS t WHERE {where}"

    def delete_origins(self, patterns: Sequence[int]) -> str:
        """Stored rows that will come back as whole rows."""
        return (
            f"DELETE FROM {self.only} AS t USING {self.rows} AS s WHERE s.{quote_ident(PATTERN)} = ANY('{_array(patterns)}') "
            f"AND {self._were('t', 's')}"
        )

    def insert(self, patterns: Sequence[int]) -> str:
        """Whole rows out of the temporary table."""
        names = ", ".join(map(quote_ident, self.columns))
        return (
            f"INSERT INTO {self.name} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {self.rows} "
            f"WHERE {quote_ident(PATTERN)} = ANY('{_array(patterns)}')"
        )

    @property
    def _identity(self) -> tuple[PlannedColumn, ...]:
        by_name = {c.name: c for c in self.table.columns}
        return tuple(by_name[n] for n in self.identity)

    @property
    def _old(self) -> dict[str, str]:
        return {name: f"tailrace old {number}" for number, name in enumerate(self.identity)}

    def _same(self, table: str, given: str) -> str:
        return " AND ".join(f"{table}.{quote_ident(n)} = {given}.{quote_ident(n)}" for n in self.identity)

    def _were(self, table: str, given: str) -> str:
        return " AND ".join(f"{table}.{quote_ident(n)} = {given}.{quote_ident(old)}" for n, old in self._old.items())

    def _equal(self, column: PlannedColumn) -> str:
        name = quote_ident(column.name)
        cast = "::text" if column.destination_type.family in _COMPARED_AS_TEXT else ""
        return f"t.{name}{cast} IS NOT DISTINCT FROM s.{name}{cast}"


def _integer(like: PlannedColumn, name: str) -> PlannedColumn:
    return like.model_copy(update={"name": name, "type": _INTEGER, "destination_type": _INTEGER, "mask": None})


def _array(numbers: Sequence[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
