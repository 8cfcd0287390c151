"""Checks over changed columns, and those of the destination alone, that the source's rows decide: as questions to it.

A column that becomes NULL or a constant is known beforehand. Where the others of a check arrive as they are, or under masks that
keep what it asks for, a row of the source with the known values put in their place meets the check, or the load fails at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tailrace_shared.catalogue.model import CheckConstraint, Table
from tailrace_shared.generators import Constant, Duplicate, Key, Null
from tailrace_shared.plan.conditions import quote_literal
from tailrace_shared.plan.demanded_checks import askable, check_demand, enforced, only_there
from tailrace_shared.plan.kept_checks import keeps_check, without_alike
from tailrace_shared.plan.model import PlannedColumn
from tailrace_shared.types import ColumnType, quote_ident

COUNTED_MAX: Final = 1000
"""Rows that are counted: one is enough to refuse a plan."""

Columns = Mapping[str, PlannedColumn]


class CountedCheck(NamedTuple):
    """A check, and how to ask how many rows break it."""

    name: str
    """Of the fact: other rules for its columns are another fact."""
    columns: str
    """What is selected, of a relation called ``t``."""
    test: str
    sure: bool
    """Every row that is counted breaks it; else a mask of one of its columns may mend what the source's value breaks."""

    def question(self, relation: str, rows: str) -> str:
        """``relation`` as ``t``, of which ``rows`` is the condition, empty for all."""
        where = f" WHERE {rows}" if rows else ""
        return (
            f"SELECT count(*) FROM (SELECT FROM (SELECT {self.columns} FROM {relation}{where}) AS t "
            f"WHERE NOT {self.test} LIMIT {COUNTED_MAX}) AS broken"
        )


def told_count(rows: int) -> str:
    """The number of rows, as far as they were counted."""
    return f"{rows:,}{' and more' if rows == COUNTED_MAX else ''}"


def changed_by(check: CheckConstraint, columns: Columns) -> list[str]:
    """The check's columns that do not arrive as they are."""
    return [name for name in check.columns if name in columns and not isinstance(columns[name].rule, Duplicate)]


def holds_by_rules(check: CheckConstraint, source: Table, destination: Table, columns: Columns) -> bool:
    """Whether what is known of the generators proves it, for a row of any source that has the same check, without a question."""
    names = changed_by(check, columns)
    if check in only_there(source, destination):  # nothing is known of the row before
        return len(check.columns) == 1 and isinstance(columns[names[0]].rule, Null | Constant) and _kept(check, columns)
    return _kept(check, columns)


def counted_check(check: CheckConstraint, source: Table, destination: Table, columns: Columns) -> CountedCheck | None:
    """None where nothing is to be asked: it is the source's and no column is changed, it is proved, it may not be asked, or masked
    values decide."""
    names = changed_by(check, columns)
    if not enforced(check) or (names and holds_by_rules(check, source, destination, columns)):
        return None
    if not names and check not in only_there(source, destination):
        return None
    definition = askable(check, source, destination)
    if definition is None or any(name not in columns for name in check.columns):
        return None
    fixed = [name for name in names if isinstance(columns[name].rule, Null | Constant)]
    masked = [name for name in names if name not in fixed]
    if masked and not all(_keeps(check, columns, name) for name in masked):
        return None
    selected = []
    for name in check.columns:
        value = _value(columns[name])
        if value is None:
            return None
        selected.append(f"{value} AS {'value' if check.domain else quote_ident(name)}")
    rules = ", ".join(f"{name}: {columns[name].rule.model_dump_json()}" for name in names)
    return CountedCheck(
        name=f"{destination.name} check {check.name} {definition} with {rules}"
        if names
        else check_demand(destination.name, check),
        columns=", ".join(selected),
        test=definition.removeprefix("CHECK "),
        sure=not masked,
    )


def _kept(check: CheckConstraint, columns: Columns) -> bool:
    return all(_keeps(check, columns, name) for name in changed_by(check, columns))


def _keeps(check: CheckConstraint, columns: Columns, name: str) -> bool:
    keys = {
        c: m.domain
        for c in check.columns
        if c in columns and isinstance(columns[c].rule, Key) and (m := columns[c].mask)
    }
    return keeps_check(without_alike(check, keys), name, columns[name].rule, columns[name].mask)


def _value(column: PlannedColumn) -> str | None:
    """SQL of what arrives in the column, of its own type; None where that cannot be written."""
    kind, name = column.type, f"t.{quote_ident(column.name)}"
    here = f"CAST({name} AS {column.cast})" if column.cast else name
    if isinstance(column.rule, Null):
        return f"CASE WHEN false THEN {here} END"
    if isinstance(column.rule, Constant):
        literal = quote_literal(column.rule.text)
        if not _is_domain(kind):
            return f"CASE WHEN {here} IS DISTINCT FROM NULL THEN CAST({literal} AS {kind.name}) END"
        if any(limit is not None for limit in (kind.length, kind.precision, kind.scale)):
            return None  # the literal would have to be cut as its base type cuts it, and a cast would test the domain's checks
        return f"CASE WHEN {here} IS DISTINCT FROM NULL THEN {literal} ELSE {here} END"
    return here


def _is_domain(kind: ColumnType) -> bool:
    _, dot, own = kind.name.rpartition(".")
    return bool(dot) and not own.endswith("]") and own.strip('"') != kind.base.rpartition(".")[2]
