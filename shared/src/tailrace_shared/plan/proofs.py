"""What is known of the destination's unique indexes, NOT NULLs and checks under the plan's generators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Index, Table
from tailrace_shared.generators import Constant, Duplicate, Null
from tailrace_shared.plan.counted_checks import changed_by, counted_check, holds_by_rules, told_count
from tailrace_shared.plan.demanded_checks import enforced
from tailrace_shared.plan.demands import null_demand, unique_demand
from tailrace_shared.plan.domains import indexed_columns
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import PlannedColumn, PlannedTable, Proof
from tailrace_shared.plan.problems import Problems
from tailrace_shared.types import quote_ident

LIKELY_COLLISION: Final = 1e-3
"""A load that fails once in a thousand runs for lack of luck is refused beforehand."""

Columns = Mapping[str, PlannedColumn]


def prove(
    planned: Sequence[PlannedTable], source: Catalogue, destination: Catalogue, facts: SourceFacts, problems: Problems
) -> list[Proof]:
    """Proofs for every loaded table; what cannot hold becomes an error."""
    found: list[Proof] = []
    for table in planned:
        ours, theirs = source.table(table.name), destination.table(table.name)
        if table.mode in ("truncate", "generate") or ours is None or theirs is None:
            continue
        columns = {c.name: c for c in table.columns}
        proved: list[frozenset[str]] = []
        for index in sorted(theirs.indexes, key=lambda i: len(i.columns)):
            if index.unique:
                found.append(_unique(theirs, index, ours, columns, facts, proved, problems))
            elif _changed(index.uses, columns):
                found += _other(theirs, index, problems)
        found += _not_null(theirs, ours, columns, facts)
        found += _checks(theirs, ours, columns, facts, problems)
        _partition_key(theirs, columns, problems)
    return found


def _unique(
    table: Table,
    index: Index,
    source: Table,
    columns: Columns,
    facts: SourceFacts,
    proved: list[frozenset[str]],
    problems: Problems,
) -> Proof:
    about = f"{table.name} unique {index.name}"
    names = indexed_columns(index)
    if len(names) < len(index.columns) and _changed(index.uses, columns):
        problems.error(
            "unique-expression", f"{table.name} index {index.name}",
            "a unique index over an expression, other than lower(), of a masked column",
            f"Duplicate {', '.join(_changed(index.uses, columns))}, or drop the index in the destination.",
        )  # fmt: skip
        return Proof(about=about, verdict="verified-after", reason="an expression over masked columns")
    if any(name not in columns for name in names):
        return Proof(about=about, verdict="verified-after", reason="the destination fills one of its columns itself")
    weak = [n for n in names if _injectivity(columns[n]) == "none"]
    if weak and not index.nulls_not_distinct and any(known <= set(names) for known in proved):
        return Proof(about=about, verdict="proved", reason="a part of its columns is unique already")
    nulls = [n for n in names if isinstance(columns[n].rule, Null)]
    if weak or (nulls and index.nulls_not_distinct):
        _refuse(table, index, weak or nulls, columns, problems)
        return Proof(about=about, verdict="verified-after", reason="a generator may repeat a value")
    counted = facts.demands.get(unique_demand(table.name, index.name))
    if counted == 0 and any((mask := columns[n].mask) and mask.folded for n in names):
        counted = None  # values that differ in case alone become one
    if counted:
        problems.error(
            "not-unique-in-source", f"{table.name} index {index.name}",
            f"unique in the destination only, and {counted:,} groups of rows of the source are equal in {', '.join(names)}",
            "Drop it there, or see to it that no row repeats a value.",
        )  # fmt: skip
        return Proof(about=about, verdict="verified-after", reason="unique in the destination only")
    if counted is None and not _guaranteed(index, source, columns):
        problems.warning(
            "unique-in-destination-only", f"{table.name} index {index.name}", "the source does not guarantee it",
            "Drop it there, or see to it that no row repeats a value: the load would fail.",
        )  # fmt: skip
        return Proof(about=about, verdict="verified-after", reason="unique in the destination only")
    probable = [n for n in names if _injectivity(columns[n]) == "probable"]
    if probable:
        return _estimate(about, table, index, probable, columns, source, facts, problems)
    if index.on is None and index.predicate is None:
        proved.append(frozenset(names))
    masked = [n for n in names if columns[n].masked]
    if counted == 0:
        reason = "no two rows of the source are equal in it: counted" + (
            f"; bijection of {', '.join(masked)}" if masked else ""
        )
        return Proof(about=about, verdict="proved", reason=reason)
    reason = (
        f"bijection of {', '.join(masked)}" if masked else "the source's own values" if not nulls else "NULLs differ"
    )
    return Proof(about=about, verdict="proved", reason=reason)


def _injectivity(column: PlannedColumn) -> str:
    if column.mask is None:
        return "none" if isinstance(column.rule, Constant) else "exact"
    return column.rule.injectivity(column.mask)


def _refuse(table: Table, index: Index, names: list[str], columns: Columns, problems: Problems) -> None:
    mask = columns[names[0]].mask
    alone = len(index.columns) == 1 and mask is not None and mask.unique
    if alone:
        return  # the generator's own check has said so
    made = ", ".join(f"{n} ({columns[n].rule.generator})" for n in names)
    problems.error(
        "not-unique", f"{table.name} index {index.name}", f"unique, and these columns may repeat a value: {made}",
        "Give them a bijective generator (key, mask.text), or duplicate.",
    )  # fmt: skip


def _estimate(
    about: str,
    table: Table,
    index: Index,
    names: list[str],
    columns: Columns,
    source: Table,
    facts: SourceFacts,
    problems: Problems,
) -> Proof:
    """Birthday bound n(n - 1)/2N, summed over the columns whose values may collide: of the rows no more can.

    ``n`` is counted where the plan could ask in time, else the statistics' count of rows, and so told.
    """
    chance, told = 0.0, []
    for name in names:
        column = columns[name]
        space = column.rule.output_space(column.mask) if column.mask else None
        if space is None:
            reason = f"nobody knows how many values {column.rule.generator} gives in {name}"
            return Proof(about=about, verdict="verified-after", reason=reason)
        counted = facts.distinct.get(f"{table.name}.{name}")
        count = counted if counted is not None else max(source.rows, 0)
        chance += count * max(count - 1, 0) / (2 * space)
        told.append(f"{count:,.0f} distinct values of {name}" + ("" if counted is not None else " by the statistics"))
    text = " and ".join(told)
    if chance > LIKELY_COLLISION:
        problems.error(
            "collision", f"{table.name} index {index.name}", f"two values collide with probability {min(chance, 1):.1g}",
            "Use key or mask.text, or a longer hash.",
        )  # fmt: skip
    return Proof(about=about, verdict="estimated", reason=f"collision probability {chance:.1g} for {text}")


def _guaranteed(index: Index, source: Table, columns: Columns) -> bool:
    """Whether the source has a unique index that implies this one, on the same rows."""
    names = set(indexed_columns(index))
    moved = [
        n
        for n in _changed([n for n in index.uses if n not in names], columns)
        if not _asked_for_null(n, index, columns)
    ]
    same_rows = () if moved else (index.predicate,)  # a predicate over masked columns picks other rows
    return any(
        other.unique
        and other.valid
        and other.on in (None, index.on)
        and set(indexed_columns(other)) <= names
        and other.predicate in (None, *same_rows)
        and (len(indexed_columns(other)) == len(other.columns) or other.expressions == index.expressions)
        and (other.nulls_not_distinct or not index.nulls_not_distinct)
        for other in source.indexes
    )


def _asked_for_null(name: str, index: Index, columns: Columns) -> bool:
    """Whether the index asks only if the column is NULL, which its rule keeps: ``WHERE deleted IS NULL``."""
    spelled = rf'(?<![\w"])(?:{re.escape(name)}|{re.escape(quote_ident(name))})(?![\w"])'
    rest = re.sub(rf"{spelled} IS (?:NOT )?NULL", "", index.predicate or "")
    return columns[name].rule.nulls == "kept" and re.search(spelled, rest) is None


def _other(table: Table, index: Index, problems: Problems) -> list[Proof]:
    if not index.exclusion:
        return []
    problems.warning(
        "exclusion", f"{table.name} constraint {index.constraint}", "an exclusion constraint over masked columns",
        "Masked rows that exclude each other fail the load; duplicate its columns if they do.",
    )  # fmt: skip
    return [Proof(about=f"{table.name} exclusion {index.name}", verdict="verified-after", reason="decided by the rows")]


def _not_null(table: Table, source: Table, columns: Columns, facts: SourceFacts) -> list[Proof]:
    sure: list[str] = []
    counted: list[str] = []
    unsure: list[str] = []
    for column in table.columns:
        planned, ours = columns.get(column.name), source.column(column.name)
        if not column.nullable and planned and ours:
            known = facts.demands.get(null_demand(f"{table.name}.{column.name}"))
            kept = not ours.nullable and ours.not_null_proved
            (sure if kept else counted if known == 0 else unsure).append(column.name)
    about = f"{table.name} NOT NULL"
    found = []
    if sure:
        reason = f"NOT NULL in the source, and kept: {', '.join(sure)}"
        found.append(Proof(about=about, verdict="proved", reason=reason))
    if counted:
        reason = f"no NULL in the source, counted: {', '.join(counted)}"
        found.append(Proof(about=about, verdict="proved", reason=reason))
    if unsure:
        reason = f"nullable in the source: {', '.join(unsure)}"
        found.append(Proof(about=about, verdict="verified-after", reason=reason))
    return found


def _checks(table: Table, source: Table, columns: Columns, facts: SourceFacts, problems: Problems) -> list[Proof]:
    found = []
    for check in table.checks:
        changed = changed_by(check, columns)  # a constant may break a check as well as a mask
        if not changed or not enforced(check):
            continue
        names = ", ".join(changed)
        about = f"{table.name} check {check.name}"
        if holds_by_rules(check, source, table, columns):
            reason = f"the masks of {names} keep what it asks for"
            found.append(Proof(about=about, verdict="proved", reason=reason))
            continue
        asked = counted_check(check, source, table, columns)
        broken = facts.checks.get(asked.name) if asked else None
        if broken == 0:
            reason = f"no row of the source breaks it with what {names} becomes: counted"
            found.append(Proof(about=about, verdict="proved", reason=reason))
            continue
        where = about + (f" (domain {check.domain})" if check.domain else "")
        if asked and broken and asked.sure:
            rules = " and ".join(f"{columns[name].rule.generator} in {name}" for name in changed)
            problems.error(
                "check-broken", where, f"with {rules} it is broken by {told_count(broken)} rows of the source",
                f"Give {names} a value that it allows or another generator, or leave these rows out with `where`.",
            )  # fmt: skip
        else:
            problems.warning(
                "check", where, f"it constrains masked columns: {names}",
                "A masked value that breaks it fails the load; duplicate the column, or give it a rule that stays inside.",
            )  # fmt: skip
        found.append(Proof(about=about, verdict="verified-after", reason="decided by the values"))
    return found


def _partition_key(table: Table, columns: Columns, problems: Problems) -> None:
    for name in table.bounded_columns:
        column = columns.get(name)
        if column and not isinstance(column.rule, Duplicate):
            problems.error(
                "partition-key", f"{table.name}.{name}",
                f"the destination is partitioned by it: {column.rule.generator} may point outside of every partition",
                "Duplicate it, or give every level of its partitions a DEFAULT one.",
            )  # fmt: skip


def _changed(names: Sequence[str], columns: Columns) -> list[str]:
    return [n for n in names if n in columns and not isinstance(columns[n].rule, Duplicate)]
