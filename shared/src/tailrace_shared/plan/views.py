"""Views as sources: how the job declares them, and what stands against reading one twice and alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace_shared.catalogue.model import Catalogue, Index, Table
from tailrace_shared.generators.suggest import suggest
from tailrace_shared.job.spec import Job, TableRule
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.view_facts import ViewFacts, views_of

DECLARED: str = "the declared key"
"""Name of the unique index that a declared key stands for."""


def declared_views(job: Job, source: Catalogue, facts: Mapping[str, ViewFacts], problems: Problems) -> Catalogue:
    """The source with its views as the job declares them: columns of the given types, the key as a unique index."""
    _check_entries(job, source, problems)
    declared = {}
    for table, rule in views_of(job, source):
        found = facts.get(str(table.name), ViewFacts())
        _check(table, rule, found, problems)
        declared[table.name] = _declared(table, rule, found)
    if not declared:
        return source
    return source.model_copy(update={"tables": tuple(declared.get(t.name, t) for t in source.tables)})


def order_of_view(job: Job, table: Table) -> tuple[str, ...]:
    """The columns by whose order a view is read; none: by the whole row's text."""
    rule = job.tables.get(str(table.name))
    return rule.key if rule else ()


def _declared(table: Table, rule: TableRule, facts: ViewFacts) -> Table:
    columns = tuple(
        c.model_copy(update={"type": facts.types[c.name], "cast": facts.casts[c.name], "loose": False})
        if c.name in facts.types
        else c
        for c in table.columns
    )
    keyed = {c.name for c in columns} & set(rule.key) if facts.repeated == 0 else set()
    columns = tuple(c.model_copy(update={"nullable": False}) if c.name in keyed else c for c in columns)
    key = Index(name=DECLARED, definition="", columns=rule.key, uses=rule.key, unique=True, primary=True)
    return table.model_copy(
        update={
            "columns": columns,
            "indexes": (*table.indexes, key) if keyed else table.indexes,
            "rows": facts.rows if table.kind == "v" else table.rows,
            "bytes": facts.bytes if table.kind == "v" else table.bytes,
        }
    )


def _check_entries(job: Job, source: Catalogue, problems: Problems) -> None:
    """``key`` and ``types`` mean something for views that an entry names exactly."""
    views = {str(table.name) for table, _ in views_of(job, source)}
    known = {str(table.name) for table in source.tables}
    for name, rule in job.tables.items():
        if (rule.key or rule.types) and name not in views and ("*" in name or name in known):
            problems.error(
                "not-a-view", name, "`key` and `types` are for views that are carried and named exactly",
                "Remove them: a table has its own order and its own types.",
            )  # fmt: skip


def _check(table: Table, rule: TableRule, facts: ViewFacts, problems: Problems) -> None:
    names = [c.name for c in table.columns]
    for column in dict.fromkeys((*rule.key, *rule.types)):
        if column not in names:
            problems.error(
                "unknown-column", f"{table.name}.{column}", "there is no such column", suggest(column, names)
            )
    for column in facts.unknown_types:
        problems.error(
            "view-type", f"{table.name}.{column}", f"the source has no type {rule.types[column]}",
            "Write the type as in CREATE TABLE: numeric(10,2), text, other_schema.kind.",
        )  # fmt: skip
    if facts.unfilled:
        problems.error(
            "view-unfilled", table.name, f"made WITH NO DATA, and not filled yet: {', '.join(facts.unfilled[:3])}",
            "REFRESH MATERIALIZED VIEW in the source, or exclude it.",
        )  # fmt: skip
    elif facts.unreadable:
        problems.error(
            "view-unreadable", table.name, f"the source's role cannot read the view: {facts.unreadable}",
            "Let the role select from the view, and the view's owner from everything under it.",
        )  # fmt: skip
    elif rule.key and all(c in names for c in rule.key):
        _check_key(table, rule, facts, problems)
    if facts.moving:
        problems.error(
            "view-moves", table.name,
            "its definition depends on the moment of reading (now(), random() and the like): a range read twice would differ",
            "Carry a materialised view of it, or the tables below with `where`.",
        )  # fmt: skip
    elif facts.volatile:
        problems.warning(
            "view-volatile", table.name,
            f"functions below it are not marked as stable: {', '.join(facts.volatile[:3])}",
            "Mark them STABLE or IMMUTABLE if they are; if they give something else each time, do not carry the view.",
        )  # fmt: skip


def _check_key(table: Table, rule: TableRule, facts: ViewFacts, problems: Problems) -> None:
    listed = ", ".join(rule.key)
    if facts.repeated is None:
        problems.error(
            "view-key", table.name, f"whether {listed} is a key could not be counted in time, or not compared",
            "Remove `key`: the view is then read in the order of its whole rows.",
        )  # fmt: skip
    elif facts.repeated:
        problems.error(
            "view-key", table.name, f"{listed} is no key: {facts.repeated} values of it are repeated or have a NULL",
            "Name columns that identify a row, or remove `key`: the view is then read in the order of its whole rows.",
        )  # fmt: skip
