"""Columns that come from a model, in a plan: what is read to learn it, and what stands against learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tailrace_shared.catalogue.model import Column, Table
from tailrace_shared.generators import Ai, Duplicate, GeneratorSpec, Key
from tailrace_shared.plan.domains import in_unique_index
from tailrace_shared.plan.drawing import check_drawing, in_context, promises_of
from tailrace_shared.plan.learning_facts import fewest
from tailrace_shared.plan.model import Learning, PlannedColumn, PlannedRange, PlannedTable, Proof
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.ranges import leaves_of, ranges_of
from tailrace_shared.plan.scope import ColumnRef, ScopedTable

if TYPE_CHECKING:
    from tailrace_shared.plan.generated import Generation

ROWS_PER_COLUMN: Final = 500
"""Below, rare categories are lost and dependence is learned poorly: measured on tables of up to 15 columns."""
SPARE: Final = 1.1
"""More is sampled than asked for: the number of rows is an estimate, and sampling is by chance."""
WORTH_SAMPLING: Final = 60.0
"""Percent of the rows from which on all are read: sampling would save little."""
DELTA_SHARE: Final = 0.5
"""Of one row that a guarantee's delta may reach before the plan warns; usual is a tenth."""
DRAW_ROWS: Final = 2_048
"""Rows that a model draws at once; batches of whole draws, or of whole parts of one, waste nothing."""


def default_learned(table: Table, column: Column) -> GeneratorSpec:
    """What makes a column of a synthetic table for which the job has no rule: a key where rows must differ, else the model."""
    family = column.type.family
    unique = in_unique_index(column.name, table, alone=True)
    if family in Key.families and (unique or (family == "uuid" and not column.nullable)):
        return Key()
    return Ai()  # of a uuid that may be NULL how often it is; its values are fresh either way


def needs_value(rule: GeneratorSpec) -> tuple[str, str]:
    """Why a synthetic table's column cannot have a rule that works on values, and what to do."""
    what = "carries" if isinstance(rule, Duplicate) else "is made from"
    return (
        f"{rule.generator} {what} values of real rows, and no row of a synthetic table stands for a real one",
        "Use ai, key, mock.…, make.…, constant or null; or give the table the mode carry.",
    )


def plan_learning(
    scoped: ScopedTable, columns: Sequence[PlannedColumn], context: Generation, orders: Sequence[tuple[str, str]] = ()
) -> tuple[list[PlannedColumn], Learning | None]:
    """The columns with what is known of the source's, and what is learned; None where no column comes from a model.

    ``orders`` are pairs of columns that the destination's checks order.
    """
    problems, table, train = context.problems, scoped.table, scoped.train
    pair = context.learned_with(scoped.name)
    events = pair is not None and pair.events == scoped.name
    wanted = [column for column in columns if isinstance(column.rule, Ai) or in_context(scoped, column.name)]
    if events and not wanted:
        problems.error(
            "sequence-empty", scoped.name, "it has a sequence, and no column of it is learned",
            "Remove its sequence: its rows then refer to entities by make.reference.",
        )  # fmt: skip
    if not wanted and (pair is None or events):
        check_drawing(scoped, columns, (), problems)
        return list(columns), None
    if pair is None and context.rows(scoped.name) == 0 and scoped.limit == 0:
        return list(columns), None  # no row is drawn
    if table.kind == "v":
        problems.error(
            "learn-view", table.name, "a view has no rows of its own to sample",
            "Synthesize the tables that it reads, or a materialised view.",
        )  # fmt: skip
    read: list[PlannedColumn] = []
    for column in wanted:
        ours = table.column(column.name)
        if ours is None:
            problems.error(
                "learn-column", ColumnRef(table.name, column.name), "the source has no such column to learn from",
                "Give it a rule of another kind: key, mock.…, make.…, constant or null.",
            )  # fmt: skip
            continue
        if ours.type.family != column.type.family:
            problems.error(
                "learn-type", ColumnRef(table.name, column.name),
                f"it is {ours.type.name} in the source and {column.type.name} in the destination",
                "Give both the same kind of type, or give it a rule of another kind.",
            )  # fmt: skip
        read.append(
            PlannedColumn(
                name=column.name, type=ours.type, destination_type=column.type, rule=_asked(column), why="learned"
            )
        )
    order = {column.name: place for place, column in enumerate(table.columns)}
    read.sort(key=lambda column: order[column.name])
    learned = tuple(column.name for column in read)
    if train.entity and train.entity not in learned:
        whose = table.column(train.entity)
        if whose is None:
            problems.error(
                "learn-entity", ColumnRef(table.name, train.entity), "the source's table has no such column",
                "Name the column that says to whom a row belongs.",
            )  # fmt: skip
        else:
            read.append(PlannedColumn(name=whose.name, type=whose.type, destination_type=whose.type, rule=Duplicate()))
    check_drawing(scoped, columns, learned, problems, paired=pair is not None)
    _check_rules(scoped, learned, problems)
    _check_guarantee(scoped, problems)
    _check_rows(scoped, read, context)
    _advise(scoped, len(learned), problems)
    limit = 0 if train.sample == "all" else train.rows
    learning = Learning(
        source=PlannedTable(
            number=context.numbers[table.name],
            name=table.name,
            mode="carry",
            columns=tuple(read),
            leaves=leaves_of(table),
            ranges=ranges_of(table, context.job.limits.range_bytes) if train.sample == "all" else _whole_heaps(table),
            estimated_rows=table.rows,
            rows_per_batch=context.job.limits.rows_per_batch,
        ),
        columns=learned,
        sample=train.sample,
        rows=limit,
        percent=_percent(scoped),
        seed=train.seed,
        epochs=train.epochs or 0,
        k=train.k,
        rare=train.rare,
        replacement=train.replacement,
        epsilon=train.epsilon,
        delta=train.delta,
        together=train.together,
        ordered=(*train.ordered, *orders),
        entity=train.entity,
        context=tuple(name for name in train.context if name in learned),
        draw=scoped.draw.model_copy(update={"seeds": None}),
        seeded=scoped.draw.seeds.columns if scoped.draw.seeds else (),
        model=train.model or "",
    )
    if not events:
        context.proofs.append(protection_of(learning))
        context.proofs.extend(promises_of(learning))
    return list(columns), learning


def protection_of(learning: Learning) -> Proof:
    """What a model may keep of its rows, in words: for whoever answers for it."""
    whose = f"different values of {learning.entity}" if learning.entity else "rows"
    rare = "rarer categories are drawn again among the others"
    if learning.rare == "constant":
        rare = f"rarer categories of texts become {learning.replacement!r}"
    if learning.model:
        reason = f"drawn from the saved model {learning.model[:12]}: `tailrace models` shows how it is protected"
    else:
        reason = f"{learning.k} {whose} or more stand behind every value, edge and knot; {rare}; extremes become a mean"
    if learning.context:
        reason += f"; of {', '.join(learning.context)}, values that so many share come from the source and go through their rules"
    if learning.epsilon is not None and not learning.model:
        reason += f"; differentially private: epsilon {learning.epsilon:g}, delta {learning.delta:g}"
    return Proof(about=f"{learning.source.name} model", verdict="proved", reason=reason)


def _asked(column: PlannedColumn) -> Ai:
    """How a column is learned; of context, as the categories that its values are."""
    return column.rule if isinstance(column.rule, Ai) else Ai(form="category")


def aligned(rows_per_batch: int) -> int:
    """So many rows, or fewer, that draws are used whole: a multiple of a draw, or a power of two below it."""
    if rows_per_batch >= DRAW_ROWS:
        return rows_per_batch // DRAW_ROWS * DRAW_ROWS
    return 1 << (rows_per_batch.bit_length() - 1)


def _percent(scoped: ScopedTable) -> float:
    rows, there = scoped.train.rows, scoped.table.rows
    if scoped.train.sample != "random" or there <= 0:
        return 100.0
    percent = 100.0 * SPARE * rows / there
    return 100.0 if percent >= WORTH_SAMPLING else max(percent, 1e-6)


def _whole_heaps(table: Table) -> tuple[PlannedRange, ...]:
    return tuple(
        PlannedRange(number=number, leaf=number, low=0, high=None, estimated_bytes=1)
        for number in range(len(leaves_of(table)))
    )


def _check_rules(scoped: ScopedTable, learned: Sequence[str], problems: Problems) -> None:
    train = scoped.train
    for group in (*train.together, *train.ordered):
        for name in group:
            if name not in learned:
                problems.error(
                    "learn-rule", ColumnRef(scoped.name, name), "a rule between columns names it, and it is not learned",
                    "Name columns with the generator ai in train.together and train.ordered.",
                )  # fmt: skip


def _check_rows(scoped: ScopedTable, read: Sequence[PlannedColumn], context: Generation) -> None:
    """Too few rows for any model, and columns of which a model may keep no value."""
    facts, k = context.facts, scoped.train.k
    few = facts.few.get(str(scoped.name))
    if few is not None:
        rows = "no row" if few == 0 else "1 row" if few == 1 else f"{few} rows"
        context.problems.error(
            "learn-too-few", scoped.name,
            f"the source has {rows}, and at least {fewest(k)} are needed for {k} to stand behind everything that a model keeps",
            "Give it mode generate, truncate or exclude; or lower train.k.",
        )  # fmt: skip
    for column in read:
        if isinstance(column.rule, Ai) and f"{scoped.name}.{column.name}" in facts.alone:
            context.problems.error(
                "learn-alone", ColumnRef(scoped.name, column.name),
                f"no value of it is in {k} rows or more, and of {column.type.name} a model keeps whole values alone",
                "Give it another rule: null, constant, make.choice, a mock; or lower train.k.",
            )  # fmt: skip


def _check_guarantee(scoped: ScopedTable, problems: Problems) -> None:
    """What a guarantee of differential privacy excludes, and what makes it worth little."""
    train, there = scoped.train, scoped.table.rows
    if train.epsilon is None or train.model:
        return
    if train.together or train.ordered:
        problems.error(
            "learn-private-rule", scoped.name,
            "rules between columns are looked up in the rows, which differential privacy does not cover",
            "Write them under draw, where rows that break one are drawn again; or leave out train.epsilon.",
        )  # fmt: skip
    entities = there if train.sample == "all" else min(there, train.rows)
    if entities > 0 and train.delta * entities > DELTA_SHARE:
        problems.warning(
            "learn-delta", scoped.name,
            f"train.delta {train.delta:g} is not far below one in about {entities:,.0f} rows: a model that gives some row away "
            "would meet it",
            f"Lower it to {DELTA_SHARE / entities:.0e} or less.",
        )  # fmt: skip


def _advise(scoped: ScopedTable, columns: int, problems: Problems) -> None:
    there, train = scoped.table.rows, scoped.train
    if train.model or there < 0:
        return
    rows = there if train.sample == "all" else min(there, train.rows)
    if fewest(train.k) <= rows < ROWS_PER_COLUMN * columns:
        problems.warning(
            "few-rows", scoped.name,
            f"about {rows:,.0f} rows are few to learn {columns} columns: a good model takes {ROWS_PER_COLUMN * columns:,} or more",
            "Sample more rows, learn fewer columns, or expect rare values to be missing.",
        )  # fmt: skip
