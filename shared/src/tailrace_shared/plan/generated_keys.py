"""References to generated tables, once all tables are planned: that the keys are there, fit, and end somewhere."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace_shared.generators import INTEGER_KEYS, Ai, Duplicate, MakeReference, Null
from tailrace_shared.plan.generated import Generation
from tailrace_shared.plan.generated_links import generated, target
from tailrace_shared.plan.generated_unique import may_be_null
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.model import ParentKey, PlannedColumn, PlannedTable, Proof
from tailrace_shared.plan.scope import ColumnRef

LOOKUPS = "the rows of {parent} are not generated"


def settle_references(tables: Sequence[PlannedTable], context: Generation) -> list[PlannedTable]:
    """The tables with what carried columns refer to. Proofs per foreign key and problems go into the context."""
    settled = [_carried(table, context) if table.mode in ("carry", "duplicate") else table for table in tables]
    for table in settled:
        for column in table.columns:
            if column.parent is not None:
                _check_key(settled, table, column, context)
    _check_ends(settled, context)
    for link in context.links:
        _prove(settled, link, context)
    return settled


def _carried(table: PlannedTable, context: Generation) -> PlannedTable:
    """A carried table's columns that refer to generated rows: equal values refer to the same row."""
    columns = []
    for column in table.columns:
        if not isinstance(column.rule, MakeReference):
            columns.append(column)
            continue
        ref = ColumnRef(table.name, column.name)
        ties = context.ties(table.name, column.name).made
        if not ties or column.mask is None:
            context.problems.error(
                "no-reference", ref, "make.reference: no foreign key of this column leads to a generated table",
                "Generate the table that it refers to, or choose another generator.",
            )  # fmt: skip
            columns.append(column)
            continue
        link = ties[0]
        if len(ties) > 1 or len(link.columns) > 1:
            context.problems.error(
                "composite-reference", link.about,
                f"{', '.join(link.columns)} of carried rows cannot refer together to a generated row",
                f"Generate {table.name} too, carry {link.parent}, or give {', '.join(link.columns)} the rule null.",
            )  # fmt: skip
        rows = context.rows(link.parent)
        if not rows:
            context.problems.error(
                "no-parent-rows",
                ref,
                f"it refers to {link.parent}, of which no row is generated",
                "Give that table rows.",
            )
        to = ParentKey(
            name=link.name, table=context.numbers[link.parent], column=target(link, column.name), rows=max(1, rows)
        )
        domain = f"{link.parent} rows"  # all columns that refer to it agree which row a value means
        mask = column.mask.model_copy(update={"domain": domain, "family": column.type.family})
        # What arrives is a key that was made; it may well be one that the source has, too: no leak scan.
        columns.append(column.model_copy(update={"mask": mask, "parent": to, "masked": False}))
    return table.model_copy(update={"columns": tuple(columns)})


def _check_key(tables: Sequence[PlannedTable], table: PlannedTable, column: PlannedColumn, context: Generation) -> None:
    assert column.parent is not None
    parent, ref = tables[column.parent.table], ColumnRef(table.name, column.name)
    key = next((c for c in parent.columns if c.name == column.parent.column), None)
    if column.parent.pool:
        _check_pooled(parent, key, column, ref, context)
        return
    if key is None:
        if parent.columns:  # else it has problems enough
            context.problems.error(
                "no-parent-key", ref, f"{parent.name}.{column.parent.column} is not made: the destination fills it itself",
                "Give the column the rule null, or exclude the table.",
            )  # fmt: skip
        return
    if table.mode != "generate" and _of_a_pool(tables, key):
        context.problems.error(
            "pooled-key", ref,
            f"it refers to {parent.name}.{key.name}, whose values are keys of a carried table that are drawn once it is read",
            f"Generate {table.name} too, carry {parent.name}, or give the column the rule null.",
        )  # fmt: skip
        return
    if isinstance(key.rule, Ai):
        context.problems.error(
            "learned-key", ref, f"it refers to {parent.name}.{key.name}, whose values are drawn from a model",
            "Give that column the rule key, or another that makes its rows differ.",
        )  # fmt: skip
        return
    if may_be_null(key) and column.mask and not column.mask.nullable:
        context.problems.error(
            "not-null",
            ref,
            f"it refers to {parent.name}.{key.name}, which may be NULL",
            "Give that column a rule without NULLs.",
        )
    if not _fits(key, column):
        context.problems.error(
            "type", ref, f"{column.type.name} does not hold the keys of {parent.name}.{key.name}, {key.type.name}",
            "Change the destination's column, or make fewer parent rows.",
        )  # fmt: skip


def _of_a_pool(tables: Sequence[PlannedTable], key: PlannedColumn) -> bool:
    """Whether a generated key is taken, perhaps by way of others, from a carried table's."""
    at: PlannedColumn | None = key
    for _ in tables:
        if at is None or at.parent is None:
            return False
        if at.parent.pool:
            return True
        to = at.parent
        at = next((column for column in tables[to.table].columns if column.name == to.column), None)
    return False


def _check_pooled(
    parent: PlannedTable, key: PlannedColumn | None, column: PlannedColumn, ref: ColumnRef, context: Generation
) -> None:
    """A key of a carried table as it arrives: its type decides what holds it, and its mask that it is there."""
    if key is None or isinstance(key.rule, Null):
        context.problems.error(
            "no-parent-key", ref, f"no value of {parent.name}.{column.parent.column if column.parent else ''} is carried",
            "Carry that column, or give this one the rule null.",
        )  # fmt: skip
        return
    ours, theirs = column.destination_type, key.destination_type
    numbers = {ours.family, theirs.family} <= {"integer", "number"} and ours.family != theirs.family
    narrower = ours.family == theirs.family == "integer" and INTEGER_KEYS.get(ours.base, 0) < INTEGER_KEYS.get(
        theirs.base, 0
    )
    short = ours.length is not None and (theirs.length is None or theirs.length > ours.length)
    alike = ours.family == theirs.family and (ours.family in ("integer", "text") or ours.base == theirs.base)
    if narrower or (short and ours.family == "text") or not (alike or numbers):
        context.problems.error(
            "type", ref, f"{ours.name} does not hold the keys of {parent.name}.{key.name}, {theirs.name}",
            "Give the destination's column the type of the key that it refers to.",
        )  # fmt: skip


def _fits(key: PlannedColumn, column: PlannedColumn) -> bool:
    ours, theirs = column.destination_type, key.type
    assert column.parent is not None
    if {ours.family, theirs.family} <= {"integer", "number"}:
        if ours.family == "number":
            return ours.precision is None or column.parent.rows < 10 ** (ours.precision - (ours.scale or 0))
        wide = INTEGER_KEYS.get(ours.base, 0) >= INTEGER_KEYS.get(theirs.base, 0) and theirs.family == "integer"
        return wide or (key.rule.generator == "key" and column.parent.rows <= INTEGER_KEYS.get(ours.base, 0))
    if ours.family == theirs.family == "text":
        longest = key.rule.max_output_chars(key.mask) if key.mask else None
        if key.rule.generator == "key":
            longest = min(12, theirs.length or 12)
        return ours.length is None or (longest or theirs.length or ours.length + 1) <= ours.length
    return ours.base == theirs.base


def _check_ends(tables: Sequence[PlannedTable], context: Generation) -> None:
    """A key that refers to a key that refers back to it is never made."""
    onward = {
        (table.number, column.name): (column.parent.table, column.parent.column)
        for table in tables if table.mode == "generate" for column in table.columns if column.parent
    }  # fmt: skip
    for start in onward:
        seen, at = {start}, onward[start]
        while at in onward and at not in seen:
            seen.add(at)
            at = onward[at]
        if at == start:
            table, column = start
            context.problems.error(
                "endless-reference", ColumnRef(tables[table].name, column),
                "it takes its value from a column that takes it from here",
                "Give one column of the circle the rule null, or exclude a table.",
            )  # fmt: skip


def _prove(tables: Sequence[PlannedTable], link: Link, context: Generation) -> None:
    child = tables[context.numbers[link.child]]
    columns = [column for column in child.columns if column.name in link.columns]
    nulls = [
        column for column in columns if isinstance(column.rule, Null) or (column.parent is None and _reference(column))
    ]
    if len(nulls) == len(columns) if link.full else nulls:
        context.proofs.append(Proof(about=link.about, verdict="proved", reason="a NULL points nowhere"))
    elif nulls or (link.full and len(set(map(_null_pattern, columns))) > 1):
        context.problems.error(
            "match-full", link.about, "all its columns must be NULL or none", "Give all of them null, or none NULLs."
        )
    elif columns and all(column.parent is not None and column.parent.pool for column in columns):
        first = columns[0].parent
        assert first is not None
        how = "as many rows for each as in the source" if first.fan_out else "drawn"
        reason = f"{first.rows:,} keys of {link.parent} as they arrive there, {how}"
        context.proofs.append(Proof(about=link.about, verdict="proved", reason=reason))
    elif not generated(context.scope, link.parent):
        _outside(link, columns, context)
    elif all(_reference(column) for column in columns) and columns:
        reason = f"keys of {link.parent}, drawn" if child.mode == "generate" else f"each value a key of {link.parent}"
        if any(column.parent and column.parent.fan_out for column in columns):
            reason += ", as many rows for each as in the source"
        context.proofs.append(Proof(about=link.about, verdict="proved", reason=reason))
    elif columns:
        duplicated = any(isinstance(column.rule, Duplicate) for column in columns)
        context.problems.error(
            "generated-parent", link.about,
            f"the rows of {link.parent} are generated, and {'duplicated' if duplicated else 'masked'} keys do not exist there",
            f"Give {', '.join(link.columns)} the rule make.reference or null (mode carry), or generate the table.",
        )  # fmt: skip


def _outside(link: Link, columns: Sequence[PlannedColumn], context: Generation) -> None:
    """A generated table refers to one that is not: only values that somebody knows to be there can do."""
    made = ", ".join(link.columns)
    if any(column.parent is not None and column.parent.pool for column in columns):
        context.problems.error(
            "shared-reference", link.about, f"not all of {made} are taken from the same row of {link.parent}",
            f"Remove the rules of {made}, or give one of them null.",
        )  # fmt: skip
    elif all(column.why == "job" for column in columns) and columns:
        context.problems.warning(
            "outside-parent", link.about, f"{LOOKUPS.format(parent=link.parent)}: it must have every value that is made for {made}",
            "See to it that it has them: the run would fail at its end.",
        )  # fmt: skip
    elif columns:
        context.problems.error(
            "generated-child", link.about, f"{LOOKUPS.format(parent=link.parent)}, and keys of it cannot be drawn",
            f"Generate {link.parent} too, give {made} the rule null, or make.choice with keys that it has.",
        )  # fmt: skip
    context.proofs.append(Proof(about=link.about, verdict="verified-after", reason=f"{link.parent} is not generated"))


def _null_pattern(column: PlannedColumn) -> tuple[float, bool]:
    """What decides in which rows it is NULL: columns of one foreign key that agree in it are NULL together."""
    share = column.rule.null_share if isinstance(column.rule, MakeReference) else 0.0
    return share, column.parent is not None and column.parent.earlier and may_be_null(column)


def _reference(column: PlannedColumn) -> bool:
    return isinstance(column.rule, MakeReference)
