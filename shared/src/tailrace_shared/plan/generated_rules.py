"""Which generator makes a column of a generated table: the job's rule, else its foreign key, else the policy."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_shared.catalogue.model import Column, Table
from tailrace_shared.generators import (
    GENERATORS,
    GeneratorSpec,
    Key,
    MakeBoolean,
    MakeChoice,
    MakeDate,
    MakeNumber,
    MakeReference,
    MakeWords,
    Null,
)
from tailrace_shared.plan.domains import in_unique_index
from tailrace_shared.plan.drawing import in_context
from tailrace_shared.plan.learning import default_learned, needs_value
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import Decision
from tailrace_shared.plan.scope import ColumnRef, ScopedTable


@dataclass(frozen=True)
class Ties:
    """The foreign keys of a generated table's column."""

    made: tuple[Link, ...]
    """To generated tables."""
    others: tuple[Link, ...]
    """To tables of whose keys nothing is known."""
    pooled: tuple[Link, ...] = ()
    """To carried tables, whose keys are read into a pool."""

    @property
    def drawn(self) -> tuple[Link, ...]:
        """Those that are served by drawing a row of the parent."""
        return self.made + self.pooled


def decide_made(scoped: ScopedTable, target: Table, column: Column, ties: Ties, problems: Problems) -> Decision | None:
    """The generator of a column and where it comes from; None where there is none, and that is reported."""
    ref, own = ColumnRef(scoped.name, column.name), scoped.rules.get(column.name)
    if own is not None:
        return Decision(own, "job") if _allowed(own, scoped, ref, ties, problems) else None
    if ties.drawn:
        return Decision(MakeReference(), f"refers to {ties.drawn[0].parent}")
    if ties.others:
        return (
            Decision(Null(), f"nothing is known of the rows of {ties.others[0].parent}")
            if column.nullable
            else _no_rule(ref, problems)
        )
    if scoped.mode == "synthesize":
        return Decision(default_learned(target, column), "mode synthesize")
    if scoped.policy == "null":
        return Decision(Null(), "policy null")
    made = default_maker(target, column) if scoped.policy == "mask" else None
    return Decision(made, "policy mask") if made else _no_rule(ref, problems)


def default_maker(table: Table, column: Column) -> GeneratorSpec | None:
    """What makes a column of which only the type is known: NULL where no generator makes the type, None where that may not be."""
    family = column.type.family
    if family in Key.families and (family == "uuid" or in_unique_index(column.name, table, alone=True)):
        return Key()
    match family:
        case "integer" | "number" | "float":
            made: GeneratorSpec = _number(column)
        case "date" | "timestamp" | "timestamptz" | "time" if column.type.base != "timetz":
            made = MakeDate()
        case "boolean":
            made = MakeBoolean()
        case "enum" if column.type.enum:
            made = MakeChoice()
        case "text":
            made = MakeWords()
        case _:
            return Null() if column.nullable else None
    return made


def _number(column: Column) -> MakeNumber:
    """1 to 1000, or what the digits hold of it."""
    kind = column.type
    if kind.family != "number" or kind.precision is None:
        return MakeNumber()
    whole = kind.precision - (kind.scale or 0)
    return MakeNumber() if whole > 3 else MakeNumber(low=0, high=10 ** max(0, whole) - 1)  # type: ignore[arg-type]


def _allowed(rule: GeneratorSpec, scoped: ScopedTable, ref: ColumnRef, ties: Ties, problems: Problems) -> bool:
    if in_context(scoped, ref.column):
        if ties.made or (ties.others and rule.masks):
            problems.error(
                "learn-context", ref, "it is a reference: what its rule makes of a value leads to no row",
                "Take it out of train.context; `ai` draws keys of a duplicated table.",
            )  # fmt: skip
            return False
        return True
    if not rule.from_ordinal and scoped.learned:
        problems.error("learn-real-value", ref, *needs_value(rule))
        return False
    if not rule.from_ordinal:
        known = ", ".join(name for name, spec in GENERATORS.items() if spec.from_ordinal)
        problems.error(
            "needs-value", ref, f"{rule.generator} works on a value, and the rows of this table are made from nothing",
            f"Use one of {known}.",
        )  # fmt: skip
        return False
    if isinstance(rule, MakeReference) and not ties.drawn:
        problems.error(
            "no-reference", ref, "make.reference: no foreign key of this column leads to a generated or carried table",
            "Declare it under foreign_keys, generate or carry the table that it refers to, or choose another generator.",
        )  # fmt: skip
        return False
    if ties.made and not isinstance(rule, MakeReference | Null):
        problems.error(
            "reference-rule", ref, f"it refers to {ties.made[0].parent}, and {rule.generator} makes keys that are not there",
            "Remove its rule, or give it make.reference or null.",
        )  # fmt: skip
        return False
    return True


def _no_rule(ref: ColumnRef, problems: Problems) -> Decision | None:
    problems.error(
        "no-rule", ref, "a column of a generated table without a rule",
        f'Write a rule under tables."{ref.table}".columns.{ref.column}: make.…, key, mock.…, constant; `policy: mask` makes '
        "what the type allows.",
    )  # fmt: skip
    return None
