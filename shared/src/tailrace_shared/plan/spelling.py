"""Names that jobs, plans and reports write alike.

``schema.table`` and ``schema.table.column`` are unquoted everywhere; a dot inside a name can make two things the same word.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ScopedTable
from tailrace_shared.types import quote_ident


def check_spelling(
    scope: Mapping[TableName, ScopedTable], source: Catalogue, destination: Catalogue, problems: Problems
) -> None:
    """An error per word that a carried table, or one of its columns, shares with another: a rule, a privilege or a count of the one
    would be taken for the other's."""
    for catalogue in (source, destination):
        alike: dict[str, set[TableName]] = {}
        for table in catalogue.tables:
            for name in (table.name, *(leaf.name for leaf in table.partitions)):
                alike.setdefault(str(name), set()).add(name)
        for word, found in alike.items():
            if len(found) > 1 and found & set(scope):
                problems.error(
                    "ambiguous-name", word, f"is how {' and '.join(map(_quoted, sorted(found)))} are both written",
                    "Leave one of the schemas out of `schemas`, and carry it by a job of its own.",
                )  # fmt: skip
    columns: dict[str, tuple[TableName, str]] = {}
    for name, scoped in scope.items():
        for column in scoped.table.columns:
            other = columns.setdefault(f"{name}.{column.name}", (name, column.name))
            if other != (name, column.name) and str(other[0]) != str(name):  # else the tables are spoken of
                problems.error(
                    "ambiguous-name", f"{name}.{column.name}",
                    f"is how {_quoted(other[0])}.{quote_ident(other[1])} and {_quoted(name)}.{quote_ident(column.name)} are both "
                    "written",
                    "Exclude one of the tables, or carry it by a job of its own.",
                )  # fmt: skip


def _quoted(name: TableName) -> str:
    return f"{quote_ident(name.schema_name)}.{quote_ident(name.name)}"
