"""How a learned table's rows are drawn, in a plan: columns of real values as context, rules, seeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final

from tailrace_shared.generators import Ai, Constant, Key, Null
from tailrace_shared.job.drawing import Draw, Scalar, Seeds
from tailrace_shared.plan.model import Learning, PlannedColumn, Proof, TableSeeds
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ColumnRef, ScopedTable
from tailrace_shared.types import Family, Frozen, qualified, quote_ident

SEEDS_MAX: Final = 10_000
"""Rows; they travel within the plan."""
SEED_BYTES_MAX: Final = 1 << 20
NUMBERS: Final[frozenset[Family]] = frozenset({"integer", "number", "float"})
GIVEN: Final[frozenset[Family]] = NUMBERS | {"text", "enum", "boolean"}
"""Families whose values can be given: categories, and numbers."""
SHARED: Final[frozenset[Family]] = GIVEN | {"date", "timestamp", "timestamptz", "time", "other"}
"""Families of context: all that can be a category."""


class SeedRows(Frozen):
    """What a table of seeds holds: values of the source, which leave the planner sealed. None: nobody could tell."""

    rows: tuple[tuple[str | None, ...], ...] | None = None


async def ask_seeds(ask: Callable[..., Awaitable[Any]], tables: Iterable[ScopedTable]) -> dict[str, SeedRows]:
    """The seeds that are rows of the source, by the table that they are for; in the order of their values."""
    found = {}
    for scoped in tables:
        seeds = scoped.draw.seeds
        if seeds is not None and seeds.table:
            told = await ask(_question(seeds), rows=True, foreign=True)
            found[str(scoped.name)] = SeedRows(rows=None if told is None else tuple(map(tuple, told)))
    return found


def _question(seeds: Seeds) -> str:
    schema, _, name = seeds.table.partition(".")
    texts = [f"{quote_ident(column)}::text" for column in seeds.columns]
    order = ", ".join(f'({text}) COLLATE "C"' for text in texts)
    return f"SELECT {', '.join(texts)} FROM {qualified(schema, name)} ORDER BY {order} LIMIT {SEEDS_MAX + 1}"


def in_context(scoped: ScopedTable, column: str) -> bool:
    """Whether a column's drawn values go through its rule."""
    rule = scoped.rules.get(column)
    return (
        column in scoped.train.context
        and rule is not None
        and rule.from_value
        and not isinstance(rule, Ai | Key | Null | Constant)
    )


def check_drawing(
    scoped: ScopedTable,
    columns: Sequence[PlannedColumn],
    learned: Collection[str],
    problems: Problems,
    *,
    paired: bool = False,
) -> None:
    """All that stands against how the job wants rows to be drawn."""
    if not learned and (scoped.draw != Draw() or scoped.train.context):
        problems.error(
            "draw-unlearned", scoped.name, "draw and train.context are for tables that are learned, and no column of it is",
            "Give it the mode synthesize, or a column the generator ai; or remove them.",
        )  # fmt: skip
        return
    if paired and (scoped.draw != Draw() or scoped.train.context):
        problems.error(
            "draw-sequence", scoped.name, "draw and train.context are not for tables that are learned together, as a sequence",
            "Remove them, or the sequence: the tables are then learned on their own.",
        )  # fmt: skip
        return
    _check_context(scoped, columns, problems)
    for group in scoped.draw.checks:
        for name in group:
            if name not in learned:
                problems.error(
                    "draw-rule", ColumnRef(scoped.name, name), "a rule of draw names it, and it is not drawn from the model",
                    "Name columns with the generator ai.",
                )  # fmt: skip
            elif name in scoped.train.context:
                problems.error(
                    "draw-rule", ColumnRef(scoped.name, name), "a rule of draw names it, and its own rule comes after",
                    "Leave it out of the rule, or of train.context.",
                )  # fmt: skip
    if scoped.draw.seeds is not None:
        _check_seeds(scoped, scoped.draw.seeds, columns, learned, problems)


def _check_context(scoped: ScopedTable, columns: Sequence[PlannedColumn], problems: Problems) -> None:
    made = {column.name: column for column in columns}
    for name in scoped.train.context:
        ref, column = ColumnRef(scoped.name, name), scoped.table.column(name)
        if column is None or name not in made:
            problems.error(
                "learn-context", ref, "train.context names it, and it is no column that is made", "Check its name."
            )
        elif not in_context(scoped, name):
            problems.error(
                "learn-context", ref, "train.context is for columns whose rule works on values, and it has none",
                "Give it duplicate, mask.… or a mock; or take it out of train.context: ai columns agree with each other anyway.",
            )  # fmt: skip
        elif column.type.family not in SHARED:
            problems.error(
                "learn-context", ref, f"values of {column.type.name} are not learned as categories that rows share",
                "Take it out of train.context, and give it key, mock.…, make.…, constant or null.",
            )  # fmt: skip
    for group in (*scoped.train.together, *scoped.train.ordered):
        for name in {*group} & {*scoped.train.context}:
            problems.error(
                "learn-rule", ColumnRef(scoped.name, name), "a rule between columns names it, and it is context",
                "Leave it out of train.together and train.ordered.",
            )  # fmt: skip


def _check_seeds(
    scoped: ScopedTable, seeds: Seeds, columns: Sequence[PlannedColumn], learned: Collection[str], problems: Problems
) -> None:
    made = {column.name: column for column in columns}
    above = {high for _, high in scoped.train.ordered}
    for name in seeds.columns:
        ref, column = ColumnRef(scoped.name, name), made.get(name)
        reason = ""
        if column is None or name not in learned:
            reason = "it is not drawn from the model"
        elif column.type.family not in GIVEN and not (isinstance(column.rule, Ai) and column.rule.form == "category"):
            reason = f"values of {column.type.name} are not learned as categories or numbers"
        elif isinstance(column.rule, Ai) and column.rule.conditioned:
            reason = "it has weights or limits as well"
        elif isinstance(column.rule, Ai) and column.rule.form in ("pattern", "words", "list"):
            reason = f"values of the form {column.rule.form} are made letter by letter"
        elif name in above or any(
            name in group and not {*group} <= {*seeds.columns} for group in scoped.train.together
        ):
            reason = "train.ordered or train.together decides it"
        if reason:
            problems.error(
                "draw-seeds", ref, f"draw.seeds gives it, and {reason}",
                "Give ai columns that are numbers or categories (a date: form: category), and all of a group of train.together.",
            )  # fmt: skip


def seeds_of(scoped: ScopedTable, number: int, told: SeedRows | None, problems: Problems) -> TableSeeds | None:
    """The rows that a table is given; None where it is given none, or there are none, which is reported."""
    seeds = scoped.draw.seeds
    if seeds is None:
        return None
    if seeds.rows:
        return TableSeeds(
            table=number, columns=seeds.columns, rows=tuple(tuple(map(text_of, row)) for row in seeds.rows)
        )
    rows = None if told is None else told.rows
    if rows is None:
        problems.error(
            "draw-seeds", scoped.name, f"its seeds could not be read from {seeds.table} of the source",
            "Check table and columns, and grant SELECT on it to the reader's role.",
        )  # fmt: skip
    elif not rows:
        problems.error(
            "draw-seeds", scoped.name, f"its seeds are to come from {seeds.table}, which has no row", "Fill it."
        )
    elif len(rows) > SEEDS_MAX or sum(len(text or "") for row in rows for text in row) > SEED_BYTES_MAX:
        problems.error(
            "draw-seeds", scoped.name, f"{seeds.table} has more than {SEEDS_MAX:,} rows of seeds, or 1 MB of them",
            "Name a view of fewer rows: seeds are used in turn, and again.",
        )  # fmt: skip
    else:
        return TableSeeds(table=number, columns=seeds.columns, rows=rows)
    return None


def promises_of(learning: Learning) -> list[Proof]:
    """What holds of the drawn rows because the job says so."""
    about, found = f"{learning.source.name} draw", []
    rules = learning.draw.checks
    if rules:
        named = "; ".join(", ".join(names) for names in rules)
        reason = f"rows that break a rule on {named} are drawn again"
        found.append(Proof(about=about, verdict="proved", reason=reason))
    if learning.seeded:
        reason = f"{', '.join(learning.seeded)} have the values of the seeds, in turn, as they are"
        found.append(Proof(about=about, verdict="proved", reason=reason))
    return found


def text_of(value: Scalar) -> str | None:
    """A value of a job as PostgreSQL writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
