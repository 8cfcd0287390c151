"""Which tables take part, and how: modes by exact name or pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace_shared.catalogue.model import Catalogue, Column, Table, TableName
from tailrace_shared.generators import Ai, GeneratorSpec, MakeReference
from tailrace_shared.generators.suggest import suggest
from tailrace_shared.job.drawing import Draw
from tailrace_shared.job.spec import EventSequence, Job, MissingParents, Mode, Policy, TableRule, Train
from tailrace_shared.plan.problems import Problems

RESERVED_SCHEMA = "tailrace"
"""Where Tailrace keeps its own state; never carried."""


class ColumnRef(NamedTuple):
    """A column of a database; sorts by name."""

    table: TableName
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def order(self) -> tuple[str, str, str]:
        """Smallest first."""
        return self.table.schema_name, self.table.name, self.column


@dataclass(frozen=True)
class ScopedTable:
    """A source table that takes part, with the rules that the job gives it."""

    table: Table
    mode: Mode
    rules: dict[str, GeneratorSpec]
    policy: Policy
    where: str = ""
    """As the job has it."""
    limit: int | None = None
    missing_parents: MissingParents = "refuse"
    train: Train = field(default_factory=Train)
    sequence: EventSequence | None = None
    """Its rows are events of another table's."""
    asked: int | None = None
    """The number of rows that the job itself says."""
    draw: Draw = field(default_factory=Draw)

    @property
    def name(self) -> TableName:
        return self.table.name

    @property
    def loaded(self) -> bool:
        """True where rows are carried."""
        return self.mode in ("carry", "duplicate")

    @property
    def generated(self) -> bool:
        """True where rows are made."""
        return self.mode in ("generate", "synthesize")

    @property
    def learned(self) -> bool:
        """True where columns come from a model of the source's rows."""
        return self.mode == "synthesize" or (self.generated and any(isinstance(r, Ai) for r in self.rules.values()))

    def source_column(self, name: str) -> Column | None:
        return self.table.column(name)


def scope_of(job: Job, source: Catalogue, problems: Problems) -> dict[TableName, ScopedTable]:
    """Every table of the job's schemas that is not excluded, by name, in order of names."""
    _check_schemas(job, source, problems)
    _check_names(job, source, problems)
    found = {}
    for table in source.tables:
        if table.name.schema_name not in job.schemas or table.name.schema_name == RESERVED_SCHEMA:
            continue
        key, rule = rule_for(job, table.name)
        mode = rule.mode if rule else job.default_mode
        if mode == "exclude" or not _is_table(table, exact=key == str(table.name), problems=problems):
            continue
        rules: dict[str, GeneratorSpec] = dict(rule.columns) if rule else {}
        if rules and mode not in ("carry", "generate", "synthesize"):
            problems.error(
                "rules-without-carry", table.name, f"mode {mode} takes no rules for columns",
                f"Remove the columns of `{key}`, or its mode (for the other columns as they are: `policy: pass`).",
            )  # fmt: skip
            rules = {}
        if key == str(table.name):
            _check_columns(table, rules, problems)
        policy = rule.policy if rule and rule.policy else job.policy
        limited = rule is not None and rule.rows is not None and mode not in ("generate", "synthesize")
        if rule and mode not in ("carry", "duplicate") and (rule.where or limited):
            problems.error(
                "filter-without-carry", table.name, f"mode {mode} carries no row that `where` or `rows` could choose",
                f"Remove them from `{key}`, or its mode.",
            )  # fmt: skip
        if rule and mode not in ("generate", "synthesize") and (rule.draw != Draw() or rule.train.context):
            problems.error(
                "draw-unlearned", table.name, f"mode {mode} draws no row: draw and train.context are for tables that are learned",
                f"Remove them from `{key}`, or give it the mode synthesize.",
            )  # fmt: skip
        found[table.name] = ScopedTable(
            table,
            mode,
            {c: r for c, r in rules.items() if table.column(c)},
            policy,
            where=rule.where if rule else "",
            limit=_limit(rule, mode, table),
            missing_parents=(rule.missing_parents if rule else None) or job.missing_parents,
            train=rule.train if rule else Train(),
            sequence=rule.sequence if rule else None,
            asked=rule.rows if rule else None,
            draw=rule.draw if rule else Draw(),
        )
    _refer(found, source)
    if not any(t.loaded or t.generated for t in found.values()):
        problems.error(
            "nothing", job.name, "no table of the source is carried",
            "Check `schemas`, `default_mode` and `tables`, and that the source's role may use the schemas.",
        )  # fmt: skip
    return found


def _limit(rule: TableRule | None, mode: Mode, table: Table) -> int | None:
    if rule is not None and rule.rows is not None:
        return rule.rows
    return round(table.rows) if mode == "synthesize" and table.rows > 0 else None


def _refer(scope: dict[TableName, ScopedTable], source: Catalogue) -> None:
    """Columns of carried tables that refer to a generated one refer to made rows, unless the job says otherwise."""
    owners = {p.name: t.name for t in source.tables for p in t.partitions}
    for key in source.foreign_keys:
        child, parent = (
            scope.get(owners.get(key.table, key.table)),
            scope.get(owners.get(key.references, key.references)),
        )
        if child and child.mode == "carry" and parent and parent.generated:
            for column in key.columns:
                child.rules.setdefault(column, MakeReference())


def rule_for(job: Job, name: TableName) -> tuple[str, TableRule | None]:
    """The entry of ``tables`` that governs a table, with its key: an exact name, else the first pattern."""
    if str(name) in job.tables:
        return str(name), job.tables[str(name)]
    for key, rule in job.tables.items():
        if "*" in key and matches(key, name):
            return key, rule
    return "", None


def matches(pattern: str, name: TableName) -> bool:
    """Whether a pattern, in which ``*`` stands for any characters, matches ``schema.table``."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), str(name)) is not None


def _is_table(table: Table, *, exact: bool, problems: Problems) -> bool:
    """Views are taken by their exact name alone; foreign tables are refused by name, and passed over otherwise."""
    if table.kind in ("r", "p"):
        return True
    if table.kind in ("v", "m"):
        return exact
    if exact:
        problems.error(
            "not-a-table", table.name, "a foreign table is not carried: its rows are another server's",
            "Set its mode to exclude.",
        )  # fmt: skip
    else:
        problems.warning("foreign-table", table.name, "a foreign table is left out: its rows are another server's")
    return False


def _check_schemas(job: Job, source: Catalogue, problems: Problems) -> None:
    if RESERVED_SCHEMA in job.schemas:
        problems.error(
            "reserved-schema", RESERVED_SCHEMA, "this schema holds Tailrace's own state and is never carried",
            "Remove it from `schemas`.",
        )  # fmt: skip
    for schema in job.schemas:
        if schema == RESERVED_SCHEMA:
            continue
        if schema not in source.privileges and not any(t.name.schema_name == schema for t in source.tables):
            problems.error("unknown-schema", schema, "the source has no such schema", "Check `schemas`.")


def _check_names(job: Job, source: Catalogue, problems: Problems) -> None:
    names = [t.name for t in source.tables]
    known = {str(name) for name in names}
    partitions = {str(leaf.name): table.name for table in source.tables for leaf in table.partitions}
    for key in job.tables:
        if "*" in key:
            if not any(matches(key, name) for name in names):
                problems.warning(
                    "pattern-without-table", key, "the pattern matches no table of the source",
                    "Check its spelling, or remove it.",
                )  # fmt: skip
        elif key in partitions:
            problems.error(
                "partition", key, f"a partition of {partitions[key]}: it is read with its table, and has no rules of its own",
                f"Write {partitions[key]} instead.",
            )  # fmt: skip
        elif key not in known:
            close = [name for name in known if name.partition(".")[0] in job.schemas]
            remedy = suggest(key, sorted(close)) if len(close) <= 30 else "Write schema.table as the source has it."
            problems.error("unknown-table", key, "the source has no such table", remedy)
        elif key.partition(".")[0] not in job.schemas and not any(
            str(n) == key and n.schema_name in job.schemas for n in names
        ):
            problems.error("schema-not-listed", key, "its schema is not in `schemas`", "Add the schema to `schemas`.")


def _check_columns(table: Table, rules: dict[str, GeneratorSpec], problems: Problems) -> None:
    names = [column.name for column in table.columns]
    for column in rules:
        if column not in names:
            problems.error(
                "unknown-column", f"{table.name}.{column}", "there is no such column", suggest(column, names)
            )
