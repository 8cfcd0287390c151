"""CHECK constraints of generated tables: proved where the check is plain and the generator's values are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from tailrace_shared.catalogue.model import CheckConstraint, Table
from tailrace_shared.generators import Constant, Key, MakeChoice, MakeNumber, MakeSequence, Null
from tailrace_shared.plan.check_limits import CheckLimits, limits_of
from tailrace_shared.plan.model import PlannedColumn, Proof
from tailrace_shared.plan.problems import Problems


def prove_checks(
    table: Table,
    columns: Sequence[PlannedColumn],
    rows: int,
    problems: Problems,
    learned: Callable[[CheckConstraint], bool] = lambda check: False,
) -> list[Proof]:
    """A proof per check over made columns, and one for NOT NULL. What a generator surely breaks becomes an error.

    ``learned`` says of a check whether a model keeps it.
    """
    made = {column.name: column for column in columns}
    found = []
    for check in table.checks:
        if not any(name in made for name in check.columns):
            continue
        about = f"{table.name} check {check.name}"
        if learned(check):
            found.append(
                Proof(about=about, verdict="proved", reason="the source's rows keep it, and the model with them")
            )
            continue
        answer = _holds(check, made, rows)
        if answer:
            found.append(Proof(about=about, verdict="proved", reason="the generator's values are inside"))
            continue
        names = ", ".join(name for name in check.columns if name in made)
        if answer is False:
            problems.error(
                "check",
                about,
                f"{names}: the generator makes values that it forbids",
                "Give it a range or a choice inside.",
            )
        else:
            problems.warning(
                "check", about, f"it constrains made columns, and cannot be judged beforehand: {names}",
                "A made value that breaks it fails the load; give the column a rule that stays inside.",
            )  # fmt: skip
        found.append(Proof(about=about, verdict="verified-after", reason="decided by the values"))
    fixed = [column.name for column in table.columns if not column.nullable and column.name in made]
    if fixed:
        found.append(
            Proof(about=f"{table.name} NOT NULL", verdict="proved", reason=f"made without NULLs: {', '.join(fixed)}")
        )
    return found


def _holds(check: CheckConstraint, made: dict[str, PlannedColumn], rows: int) -> bool | None:
    """True or False where it is sure."""
    limits = limits_of(check)
    column = made.get(check.columns[0]) if limits else None
    if column is None or limits is None or column.mask is None:
        return True if column is not None and isinstance(column.rule, Null) else None
    rule = column.rule
    if isinstance(rule, Null):
        return True  # a check that is NULL holds
    if limits.values:
        texts = rule.texts(column.mask) if isinstance(rule, MakeChoice) else ()
        texts = (rule.text,) if isinstance(rule, Constant) else texts
        return set(texts) <= set(limits.values) if texts else None
    ends = _ends(column, rows)
    return None if ends is None else _inside(limits, *ends)


def _ends(column: PlannedColumn, rows: int) -> tuple[Decimal, Decimal] | None:
    """Smallest and largest value; None where they are not known."""
    rule, mask = column.rule, column.mask
    assert mask is not None
    if isinstance(rule, MakeNumber):
        unit = Decimal(1).scaleb(-rule.digits(mask))
        low, high = rule.units(mask)
        return low * unit, high * unit
    if isinstance(rule, Key) and column.type.family in ("integer", "number"):
        return Decimal(1), Decimal(max(1, rows))
    if isinstance(rule, MakeSequence):
        ends = (Decimal(rule.start), Decimal(rule.start + rule.step * max(0, rows - 1)))
        return min(ends), max(ends)
    if isinstance(rule, Constant | MakeChoice) and column.type.family in ("integer", "number", "float"):
        texts = (rule.text,) if isinstance(rule, Constant) else rule.texts(mask)
        numbers = [Decimal(text) for text in texts]
        return min(numbers), max(numbers)
    return None


def _inside(limits: CheckLimits, low: Decimal, high: Decimal) -> bool:
    if limits.low is not None and (low < limits.low or (limits.above and low == limits.low)):
        return False
    return limits.high is None or (high < limits.high or (not limits.below and high == limits.high))
