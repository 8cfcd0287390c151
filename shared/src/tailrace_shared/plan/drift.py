"""Where the destination's tables ask for more than the source's give, although every column is there and wide enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Table
from tailrace_shared.plan.counted_checks import changed_by, told_count
from tailrace_shared.plan.demanded_checks import check_demand, only_there, partition_demand, placeless
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.plan.problems import Problems

WHOLE: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of a destination that take every character, or any bytes."""


def check_drift(
    planned: Sequence[PlannedTable], source: Catalogue, destination: Catalogue, problems: Problems, *, append: bool,
    demands: Mapping[str, int] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Checks, exclusions, partitions and rules that only the destination has; generated columns; the encoding.

    ``demands`` says by ``demanded_checks.check_demand`` how many rows of the source break a check.
    """
    if destination.encoding not in (*WHOLE, source.encoding):
        problems.warning(
            "encoding", destination.database,
            f"the destination is in {destination.encoding}, the source in {source.encoding}: a character that is not in "
            f"{destination.encoding} fails the load",
            "Create the destination with ENCODING 'UTF8'.",
        )  # fmt: skip
    for table in planned:
        ours, theirs = source.table(table.name), destination.table(table.name)
        if table.mode not in ("carry", "duplicate") or ours is None or theirs is None:
            continue
        _checks(table, ours, theirs, demands, problems)
        _exclusions(ours, theirs, problems)
        _generated(ours, theirs, problems)
        _partitions(table, ours, theirs, demands.get(partition_demand(table.name)), problems)
        _rules(theirs, append, problems)


def _checks(table: PlannedTable, ours: Table, theirs: Table, demands: Mapping[str, int], problems: Problems) -> None:
    columns = {c.name: c for c in table.columns}
    for check in only_there(ours, theirs):
        if changed_by(check, columns):
            continue  # one over masked or fixed columns is spoken of already
        about = f"{theirs.name} check {check.name}" + (f" (domain {check.domain})" if check.domain else "")
        broken = demands.get(check_demand(table.name, check))
        if broken is None:
            problems.warning(
                "check-in-destination-only", about, "the source does not guarantee it",
                "Drop it there, or see to it that every row passes: the load would fail.",
            )  # fmt: skip
        elif broken:
            problems.error(
                "check-broken-in-source", about,
                f"only the destination has it, and {told_count(broken)} rows of the source break it",
                "Drop it there, give the column another generator, or leave these rows out with `where`.",
            )  # fmt: skip


def _exclusions(ours: Table, theirs: Table, problems: Problems) -> None:
    known = {_rule_of(i.definition) for i in ours.indexes if i.exclusion}
    for index in theirs.indexes:
        if index.exclusion and _rule_of(index.definition) not in known:
            problems.warning(
                "exclusion-in-destination-only", f"{theirs.name} constraint {index.constraint}",
                "the source does not guarantee it",
                "Drop it there, or see to it that no rows exclude each other: the load would fail.",
            )  # fmt: skip


def _rule_of(definition: str) -> str:
    """An index's definition without its name and table."""
    return definition.partition(" USING ")[2]


def _generated(ours: Table, theirs: Table, problems: Problems) -> None:
    for column in theirs.columns:
        source = ours.column(column.name)
        if column.generated and source and not source.generated:
            problems.warning(
                "generated-in-destination-only", f"{theirs.name}.{column.name}",
                "the destination generates this column itself: the source's values do not arrive",
                "ALTER TABLE … ALTER COLUMN … DROP EXPRESSION there, unless that is wanted.",
            )  # fmt: skip


def _partitions(table: PlannedTable, ours: Table, theirs: Table, without: int | None, problems: Problems) -> None:
    """Rows that have no partition in the destination: ``without`` is their number, None where they were not counted."""
    if theirs.kind != "p" or not theirs.bounded_columns or without == 0:
        return
    missing = placeless(ours, theirs)
    named = ", ".join(str(p.name) for p in missing[:3]) + (" …" if missing[3:] else "")
    if without:
        there = f" (partitions of the source without a counterpart of the same bounds: {named})" if missing else ""
        problems.error(
            "partition-missing", theirs.name, f"{without:,} rows of the source have no partition there{there}",
            "Create the partitions there, or a DEFAULT one, or leave these rows out with `where`.",
        )  # fmt: skip
    elif missing:
        problems.warning(
            "partition-missing", theirs.name, f"partitions of the source have no counterpart of the same bounds: {named}",
            "Create them there, unless other partitions take their rows: the load would fail.",
        )  # fmt: skip
    elif ours.kind != "p" and not any(c.masked for c in table.columns if c.name in theirs.partition_columns):
        problems.warning(
            "partition-missing", theirs.name, "it is partitioned there alone, and has no partition for every value",
            "See to it that every row has one, or create a DEFAULT partition: the load would fail.",
        )  # fmt: skip


def _rules(theirs: Table, append: bool, problems: Problems) -> None:
    for rule in theirs.rules:
        if rule.event != "insert" or rule.enabled not in "OA":
            continue
        if append:
            problems.error(
                "insert-rule", f"{theirs.name} rule {rule.name}", "it rewrites what is inserted, and appended rows are inserted",
                "Disable it while the run lasts (ALTER TABLE … DISABLE RULE), or exclude the table.",
            )  # fmt: skip
        else:
            problems.warning(
                "insert-rule", f"{theirs.name} rule {rule.name}",
                "rows are loaded as they are: COPY passes rules over, and what this one does on INSERT is not done",
                "Nothing, unless the destination relies on it.",
            )  # fmt: skip
