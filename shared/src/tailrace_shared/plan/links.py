"""Links: foreign keys as planning sees them, whoever declares them: the source, the destination, or the job alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tailrace_shared.catalogue.model import Catalogue, ForeignKey, Table, TableName
from tailrace_shared.generators.suggest import suggest
from tailrace_shared.job.spec import Job, VirtualForeignKey
from tailrace_shared.plan.problems import Problems
from tailrace_shared.types import Family, quote_ident

_ALIKE: frozenset[Family] = frozenset({"integer", "number"})
"""Families whose values are compared with each other by value."""
Meaning = tuple[TableName, TableName, frozenset[tuple[str, str]], tuple[tuple[str, str], ...]]
"""Child, parent, pairs of columns, and the values for which it holds."""


@dataclass(frozen=True)
class Link:
    """Rows of ``child`` refer to rows of ``parent``; partitions are under their table's name."""

    name: str
    child: TableName
    columns: tuple[str, ...]
    parent: TableName
    referenced: tuple[str, ...]
    full: bool = False
    """MATCH FULL: all of the columns are NULL, or none."""
    when: tuple[tuple[str, str], ...] = ()
    """Column and value: it holds only for rows that have all of these."""
    virtual: bool = False
    enforced: bool = True
    certain: bool = False
    """The source guarantees it."""
    temporal: bool = False
    operators: tuple[str, ...] = ()
    """Per column what compares it, as SQL: equality need not be on the search path. None: ``=``."""

    @property
    def equal(self) -> str:
        """That a row ``p`` is the one that a row ``t`` refers to."""
        compared = zip(self.columns, self.operators or ("=",) * len(self.columns), self.referenced, strict=True)
        return " AND ".join(f"p.{quote_ident(theirs)} {op} t.{quote_ident(mine)}" for mine, op, theirs in compared)

    @property
    def about(self) -> str:
        """How proofs and problems name it."""
        return f"{self.child} {'virtual ' if self.virtual else ''}foreign key {self.name}"

    @property
    def meaning(self) -> Meaning:
        """What it says, whatever its name and whoever declares it."""
        return self.child, self.parent, frozenset(zip(self.columns, self.referenced, strict=True)), self.when


def links_of(
    job: Job,
    source: Catalogue,
    destination: Catalogue,
    names: Mapping[TableName, TableName],
    problems: Problems,
) -> list[Link]:
    """All links between tables of the source, each once: the source's own first, then the destination's, then the job's."""
    found: dict[Meaning, Link] = {}
    for catalogue in (source, destination):
        for key in catalogue.foreign_keys:
            link = _declared(key, names, own=catalogue is source)
            if _known(link, source):
                found.setdefault(link.meaning, link)
    for place, virtual in enumerate(job.foreign_keys):
        link_or_none = _virtual(virtual, f"foreign_keys.{place}", source, problems)
        if link_or_none is not None:
            found.setdefault(link_or_none.meaning, link_or_none)
    return list(found.values())


def doubtful_links(
    links: Iterable[Link], destination: Catalogue, names: Mapping[TableName, TableName]
) -> frozenset[Link]:
    """Those that the destination enforces and the source does not guarantee."""
    demanded = {_declared(key, names, own=False).meaning for key in destination.foreign_keys if key.enforced}
    return frozenset(
        link for link in links if link.meaning in demanded and not (link.certain or link.virtual or link.temporal)
    )


def _declared(key: ForeignKey, names: Mapping[TableName, TableName], *, own: bool) -> Link:
    """``own``: of the source, whose operators the queries name."""
    return Link(
        name=key.name,
        child=names.get(key.table, key.table),
        columns=key.columns,
        parent=names.get(key.references, key.references),
        referenced=key.referenced_columns,
        full="MATCH FULL" in key.definition,
        enforced=key.enforced,
        certain=own and key.validated and key.enforced,
        temporal=key.temporal,
        operators=key.operators if own else (),
    )


def _known(link: Link, source: Catalogue) -> bool:
    """Whether the source has all of its columns: a key of the destination may be over others."""
    child, parent = source.table(link.child), source.table(link.parent)
    return (
        child is not None
        and parent is not None
        and all(map(child.column, link.columns))
        and all(map(parent.column, link.referenced))
    )


def _virtual(key: VirtualForeignKey, where: str, source: Catalogue, problems: Problems) -> Link | None:
    """The link that the job declares; None with an error where it cannot be one."""
    tables = {str(table.name): table for table in source.tables}
    child, parent = tables.get(key.table), tables.get(key.references)
    for name, table in ((key.table, child), (key.references, parent)):
        if table is None:
            problems.error(
                "virtual-key-table", where, f"the source has no table {name} in the job's schemas",
                suggest(name, sorted(tables)[:200]) if len(tables) <= 200 else "Write schema.table as the source has it.",
            )  # fmt: skip
    if child is None or parent is None:
        return None
    referenced = key.referenced_columns or parent.primary_key
    if not _columns_exist(child, (*key.columns, *key.when), where, problems) or not _columns_exist(
        parent, referenced, where, problems
    ):
        return None
    if len(referenced) != len(key.columns):
        what = (
            f"{len(key.columns)} columns refer to {len(referenced)}"
            if referenced
            else f"{parent.name} has no primary key"
        )
        problems.error(
            "virtual-key-columns", where, what, "Write as many `referenced_columns` as `columns`, in the same order."
        )
        return None
    if not _types_agree(child, key.columns, parent, referenced, where, problems):
        return None
    when = tuple(sorted(key.when.items()))
    of = f" where {', '.join(column for column, _ in when)}" if when else ""
    return Link(
        name=f"({', '.join(key.columns)}) to {parent.name}{of}",
        child=child.name,
        columns=key.columns,
        parent=parent.name,
        referenced=referenced,
        when=when,
        virtual=True,
    )


def _columns_exist(table: Table, columns: tuple[str, ...], where: str, problems: Problems) -> bool:
    names = [column.name for column in table.columns]
    missing = [column for column in columns if column not in names]
    for column in missing:
        problems.error("virtual-key-columns", where, f"{table.name} has no column {column}", suggest(column, names))
    return not missing


def _types_agree(
    child: Table, columns: tuple[str, ...], parent: Table, referenced: tuple[str, ...], where: str, problems: Problems
) -> bool:
    agree = True
    for mine, theirs in zip(columns, referenced, strict=True):
        own, other = child.column(mine), parent.column(theirs)
        if own is None or other is None:
            continue
        families = {own.type.family, other.type.family}
        unlike = len(families) > 1 and not families <= _ALIKE
        if unlike or (families == {"other"} and own.type.base != other.type.base):
            agree = False
            problems.error(
                "virtual-key-type", where,
                f"{child.name}.{mine} ({own.type.name}) and {parent.name}.{theirs} ({other.type.name}) cannot be compared, "
                "and would not mask alike",
                "Name columns of one type; values kept as text in one table and as numbers in another cannot be tied.",
            )  # fmt: skip
    return agree
