"""Foreign keys that have a generated table on one side: a reference is drawn there, not carried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.scope import ScopedTable

Scope = Mapping[TableName, ScopedTable]


def touching(scope: Scope, links: Iterable[Link]) -> tuple[Link, ...]:
    """Those of a generated table, and those of a carried one to a generated table."""
    return tuple(
        link
        for link in links
        if link.child in scope
        and (generated(scope, link.child) or (generated(scope, link.parent) and scope[link.child].loaded))
    )


def generated(scope: Scope, name: TableName) -> bool:
    """Whether the table's rows are made."""
    return name in scope and scope[name].generated


def drawn(scope: Scope, link: Link) -> bool:
    """Whether rows that are made could refer to keys of the carried table that a key leads to: they are read into a pool.

    Which rows of a view come first is not known before it is read.
    """
    parent = scope.get(link.parent)
    if parent is None or not parent.loaded or link.when or link.temporal:
        return False
    return parent.table.kind != "v" or parent.limit is None


def target(link: Link, column: str) -> str:
    """The parent's column that a column refers to."""
    return link.referenced[link.columns.index(column)]
