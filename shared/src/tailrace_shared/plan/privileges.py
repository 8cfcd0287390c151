"""What the two roles lack, each with the statement that grants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Table, TableName
from tailrace_shared.plan.model import DdlStep, PlannedTable, SequenceStep
from tailrace_shared.plan.problems import Problems
from tailrace_shared.types import qualified, quote_ident

NOT_ENFORCED_SINCE: Final = 180000
"""The first version with foreign keys that are NOT ENFORCED."""


def check_source(planned: Sequence[PlannedTable], source: Catalogue, problems: Problems) -> None:
    """USAGE on the schemas, SELECT on every heap that is read, and no policy that hides rows."""
    check = _Checker("source", source, problems)
    for entry in planned:
        table = entry.learning.source if entry.learning else entry
        if table.mode in ("truncate", "generate"):
            continue
        check.table(table.name, ("SELECT",))
        for leaf in table.leaves:
            check.table(leaf.name, ("SELECT",))
        ours = source.table(table.name)
        if ours and ours.row_security:
            problems.error(
                "row-security", table.name, "policies would hide rows of the source from the role",
                f"ALTER ROLE {quote_ident(source.role)} BYPASSRLS; or exclude the table.",
            )  # fmt: skip


def check_destination(
    planned: Sequence[PlannedTable],
    ddl: Sequence[DdlStep],
    sequences: Sequence[SequenceStep],
    destination: Catalogue,
    names: Mapping[TableName, TableName],
    problems: Problems,
    *,
    append: bool = False,
    locks: bool = False,
    respect: bool = False,
    follows: bool = False,
) -> None:
    """The state schema; INSERT, SELECT, TRUNCATE; ownership of what is dropped and rebuilt; sequences.

    ``append``: nothing is emptied; ``locks``: but tables are locked against other writers, which TRUNCATE allows too. ``respect``:
    foreign keys are there while tables are emptied, and some need DELETE for that. ``follows``: rows are changed later on.
    """
    check = _Checker("destination", destination, problems)
    if not destination.can_create:
        check.lacks(
            "tailrace", "may not make the schema tailrace, where runs keep their state",
            f"GRANT CREATE ON DATABASE {quote_ident(destination.database)} TO {check.role};",
        )  # fmt: skip
    deletes = respect and not append and truncate_refuses(planned, destination, names)
    for table in planned:
        theirs = destination.table(table.name)
        if theirs is None:
            continue
        needed = ["SELECT"]
        if table.mode != "truncate":
            needed.append("INSERT")
        if not append or locks:
            needed.append("TRUNCATE")
        if follows:
            needed.append("UPDATE")
        if deletes or follows:
            needed.append("DELETE")
        check.table(table.name, needed)
        if theirs.row_security:
            problems.error(
                "row-security", table.name, "policies apply to the role in the destination, and COPY refuses that",
                f"ALTER ROLE {check.role} BYPASSRLS;",
            )  # fmt: skip
    if locks:
        carried = {table.name for table in planned}
        for key in destination.foreign_keys:
            if key.enforced and names.get(key.table, key.table) in carried and key.references not in carried:
                check.table(key.references, ("SELECT", "TRUNCATE"))
    for name, kinds in _altered(step for step in ddl if step.kind != "append" and not step.creates).items():
        check.owner(name, destination.table(names.get(name, name)), kinds)
    references = {(k.table, k.name): k.references for k in destination.foreign_keys}
    for step in ddl:
        if step.kind == "index":
            check.schema(step.table.schema_name)
        if step.kind == "foreign-key":
            check.table(references[step.table, step.name], ("REFERENCES",))
    for sequence in sequences:
        # What it would give next is read to be checked.
        may = destination.privileges.get(f"{sequence.schema_name}.{sequence.name}", ())
        missing = [p for p in ("SELECT", "UPDATE") if not {p, "OWNER"} & set(may)]
        if missing:
            listed = ", ".join(missing)
            check.lacks(
                f"{sequence.schema_name}.{sequence.name}", "may not read and set the sequence",
                f"GRANT {listed} ON SEQUENCE {qualified(sequence.schema_name, sequence.name)} TO {check.role};",
            )  # fmt: skip


def truncate_refuses(
    planned: Sequence[PlannedTable], destination: Catalogue, names: Mapping[TableName, TableName]
) -> bool:
    """Whether TRUNCATE of all of these together would be refused, so that they are emptied by DELETE.

    PostgreSQL 18 looks for tables that refer to the listed ones among those that have triggers, as every enforced key gives them to
    both of its sides. A table whose only key is NOT ENFORCED has none, and is taken for one that is not in the list.
    """
    if destination.server_version < NOT_ENFORCED_SINCE:
        return False
    emptied = {table.name for table in planned}
    watched = {table.name for table in destination.tables if table.triggers}
    for key in destination.foreign_keys:
        if key.enforced:
            watched |= {key.table, key.references, names.get(key.table, key.table)}
    return any(
        key.table not in watched and key.references in watched and names.get(key.table, key.table) in emptied
        for key in destination.foreign_keys
        if not key.enforced and names.get(key.references, key.references) in emptied
    )


def _altered(ddl: Iterable[DdlStep]) -> dict[TableName, list[str]]:
    found: dict[TableName, list[str]] = {}
    for step in ddl:
        kinds = found.setdefault(step.table, [])
        if step.kind not in kinds:
            kinds.append(step.kind)
    return found


class _Checker:
    """Privileges of one side's role."""

    def __init__(self, side: str, catalogue: Catalogue, problems: Problems) -> None:
        self.side = side
        self.catalogue = catalogue
        self.problems = problems
        self.role = quote_ident(catalogue.role)

    def lacks(self, where: object, what: str, remedy: str) -> None:
        self.problems.error("privilege", where, f"the {self.side}'s role {self.catalogue.role} {what}", remedy)

    def table(self, name: TableName, needed: Sequence[str]) -> None:
        if "USAGE" not in self.catalogue.privileges.get(name.schema_name, ("USAGE",)):
            self.lacks(
                name.schema_name, "may not use the schema",
                f"GRANT USAGE ON SCHEMA {quote_ident(name.schema_name)} TO {self.role};",
            )  # fmt: skip
        may = self.catalogue.privileges.get(str(name))
        missing = [p for p in needed if may is not None and p not in may]
        if missing:
            listed = ", ".join(missing)
            self.lacks(
                name, f"lacks {listed}", f"GRANT {listed} ON {qualified(name.schema_name, name.name)} TO {self.role};"
            )

    def schema(self, name: str) -> None:
        """CREATE INDEX asks for CREATE on the schema, of the table's owner too."""
        if "CREATE" not in self.catalogue.privileges.get(name, ("CREATE",)):
            self.lacks(
                name, "may not rebuild indexes in the schema",
                f"GRANT CREATE ON SCHEMA {quote_ident(name)} TO {self.role}; or use constraints: respect.",
            )  # fmt: skip

    def owner(self, name: TableName, table: Table | None, kinds: Sequence[str]) -> None:
        may = self.catalogue.privileges.get(str(name))
        if may is None or "OWNER" in may:
            return
        grant = f"GRANT {quote_ident(table.owner) if table else 'its owner'} TO {self.role};"
        if table and table.owner_rules_all:
            grant = f"ALTER TABLE {qualified(name.schema_name, name.name)} OWNER TO {self.role};"
        self.lacks(
            name, f"does not own the table, and loading drops or disables its {' and '.join(_plural(k) for k in kinds)}",
            f"{grant} or use constraints: respect.",
        )  # fmt: skip


def _plural(kind: str) -> str:
    return {"index": "indexes", "foreign-key": "foreign keys", "trigger": "triggers"}[kind]
