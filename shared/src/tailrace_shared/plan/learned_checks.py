"""CHECK constraints over learned columns: those that a model keeps, because its rows kept them.

What a model draws of a number lies between the source's own extremes, and what it draws of a category is one of the source's:
bounds and lists that the source's rows meet are met again. An order of two columns is built in (``train.ordered``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import CheckConstraint, Table
from tailrace_shared.generators import Ai
from tailrace_shared.plan.check_limits import limits_of
from tailrace_shared.plan.model import PlannedColumn
from tailrace_shared.plan.scope import ScopedTable
from tailrace_shared.types import Family

Pair = tuple[str, str]
NUMERIC: Final[frozenset[Family]] = frozenset({"integer", "number", "float"})
ORDERED: Final[frozenset[Family]] = NUMERIC | {"date", "timestamp", "timestamptz", "time"}
_NAME: Final = r'\(*(?P<{0}>"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\)*(?:::[a-z ]+)?'
_ORDER: Final = re.compile(rf"\(*{_NAME.format('one')}\s*(?P<how><=|>=|<|>)\s*{_NAME.format('other')}\)*")


def implied_orders(scoped: ScopedTable, table: Table, columns: Sequence[PlannedColumn]) -> tuple[Pair, ...]:
    """Pairs of learned columns, lower first, that checks of the destination's ``table`` order and that a model can be built with.

    The higher one is made from the lower, so nothing else may be demanded of it, and neither may have another rule.
    """
    if scoped.train.epsilon is not None or scoped.train.model:
        return ()
    learned = {column.name: column for column in columns if isinstance(column.rule, Ai)}
    taken = {name for group in (*scoped.train.together, *scoped.train.ordered) for name in group}
    taken |= {column.name for column in learned.values() if isinstance(column.rule, Ai) and column.rule.conditioned}
    taken |= {*scoped.train.context, *(scoped.draw.seeds.columns if scoped.draw.seeds is not None else ())}
    found: list[Pair] = []
    highs: set[str] = set()
    for check in table.checks:
        order = _order(check)
        if order is None or not set(order[:2]) <= learned.keys() - taken:
            continue
        low, high, strict = order
        families = {learned[name].type.family for name in (low, high)}
        comparable = families <= ORDERED and (len(families) == 1 or families <= NUMERIC)
        alone = sum(high in other.columns for other in table.checks) == 1
        free = high not in {name for pair in found for name in pair} and low not in highs
        if comparable and alone and free and (not strict or _source_holds(check, scoped)):
            found.append((low, high))
            highs.add(high)
    return tuple(found)


def with_listed_forms(scoped: ScopedTable, table: Table, columns: Sequence[PlannedColumn]) -> list[PlannedColumn]:
    """The columns, learned texts that a check lists the values of as categories: a pattern would make others."""
    listed = {
        check.columns[0]
        for check in table.checks
        if (limits := limits_of(check)) is not None and limits.values and _source_holds(check, scoped)
    }
    return [
        column.model_copy(update={"rule": column.rule.model_copy(update={"form": "category"})})
        if column.name in listed
        and isinstance(column.rule, Ai)
        and column.rule.form is None
        and column.type.family == "text"
        else column
        for column in columns
    ]


def kept_by_model(
    check: CheckConstraint, scoped: ScopedTable, made: Mapping[str, PlannedColumn], orders: Sequence[Pair]
) -> bool:
    """Whether no row of a model breaks the check."""
    if not all(name in made and isinstance(made[name].rule, Ai) for name in check.columns):
        return False
    order = _order(check)
    if order is not None:
        drawn_again = scoped.draw.below if order[2] else (*scoped.draw.ordered, *scoped.draw.below)
        return order[:2] in (*orders, *drawn_again)
    limits = limits_of(check)
    if limits is None or not _source_holds(check, scoped) or scoped.train.epsilon is not None:
        return False
    column = made[check.columns[0]]
    form = column.rule.form if isinstance(column.rule, Ai) else None
    if limits.values:
        return column.type.family == "enum" or (scoped.train.rare == "resample" and form == "category")
    return column.type.family in NUMERIC


def _order(check: CheckConstraint) -> tuple[str, str, bool] | None:
    """The lower and the higher column, and whether they may not be equal; None for another kind of check."""
    text = check.definition.removeprefix("CHECK ").removesuffix(" NOT VALID").strip()
    found = _ORDER.fullmatch(text)
    if found is None or len(check.columns) != 2:
        return None
    one, other = (_unquoted(found[name]) for name in ("one", "other"))
    if {one, other} != set(check.columns):
        return None
    how = found["how"]
    return (one, other, how == "<") if how.startswith("<") else (other, one, how == ">")


def _source_holds(check: CheckConstraint, scoped: ScopedTable) -> bool:
    """The source demands the same of its own rows."""
    return any(
        own.definition == check.definition and own.columns == check.columns
        for own in scoped.table.checks
        if not own.definition.endswith("NOT VALID")
    )


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
