"""Mode ``create``: the destination as it will be, and what stands against making it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Ground, Table, TableName
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.create_model import SchemaObject, SourceSchema
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ScopedTable
from tailrace_shared.types import qualified, quote_ident

EVERYTHING: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "OWNER")
LOCKS: Final = {"TABLE": 3}
"""Locks per thing where it is not one: a table has its TOAST table, and that has an index."""
NAMED_MAX: Final = 5
"""Names that are taken, each said by itself."""
SUPERUSERS: Final = frozenset(
    {"SHELL TYPE", "OPERATOR CLASS", "OPERATOR FAMILY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE"}
)
"""Kinds that only a superuser makes."""


def destination_to_be(scope: Mapping[TableName, ScopedTable], source: Catalogue, destination: Catalogue) -> Catalogue:
    """The destination's catalogue as the run will have made it: the carried tables as the source has them, all this role's own.

    Foreign keys to tables that are not carried are not made; views that are carried are tables.
    """
    made = {name: _made(scoped.table, destination.role) for name, scoped in scope.items()}
    leaves = {leaf.name for scoped in scope.values() for leaf in scoped.table.partitions}
    there = made.keys() | leaves
    names = [*made, *leaves]
    rights: dict[str, tuple[str, ...]] = {str(name): EVERYTHING for name in names}
    rights |= {
        name.schema_name: ("USAGE", "CREATE") for name in names
    }  # what is missing there is said by ``check_ground``
    sequences = [s for s in source.sequences if s.owner in made]
    rights |= {f"{s.schema_name}.{s.name}": ("UPDATE", "OWNER") for s in sequences}
    return destination.model_copy(
        update={
            "tables": tuple(sorted(made.values(), key=lambda t: (t.name.schema_name, t.name.name))),
            "foreign_keys": tuple(k for k in source.foreign_keys if k.table in there and k.references in there),
            "sequences": tuple(sequences),
            "privileges": rights,
        }
    )


def _made(table: Table, role: str) -> Table:
    changed: dict[str, object] = {"has_rows": False, "row_security": False, "owner": role, "owner_rules_all": False}
    if table.kind in ("v", "m"):
        changed["kind"] = "r"
        changed["indexes"] = tuple(index for index in table.indexes if index.definition)  # a declared key is none
    return table.model_copy(update=changed)


def check_create(
    job: Job,
    scope: Mapping[TableName, ScopedTable],
    schema: SourceSchema | None,
    source: Catalogue,
    destination: Catalogue,
    problems: Problems,
) -> None:
    """Everything that would stop the making: versions, names that are taken, schemas, extensions and rights."""
    if job.destination.constraints == "respect":
        problems.warning(
            "create-respect", job.name, "tables that the run makes are loaded bare, and their constraints are made afterwards",
            "Leave destination.constraints out.",
        )  # fmt: skip
    ours, theirs = source.server_version // 10_000, destination.server_version // 10_000
    if ours > theirs:
        problems.error(
            "create-version", destination.database,
            f"the source is PostgreSQL {ours}, the destination {theirs}: what an older server does not know cannot be made there",
            f"Use a destination of version {ours} or above, or make the tables yourself and use mode: existing.",
        )  # fmt: skip
    for name, scoped in scope.items():
        if not scoped.loaded and "SELECT" not in source.privileges.get(str(name), ("SELECT",)):
            problems.error(
                "privilege", name, f"the source's role {source.role} lacks SELECT, which pg_dump needs to describe the table",
                f"GRANT SELECT ON {qualified(name.schema_name, name.name)} TO {quote_ident(source.role)};",
            )  # fmt: skip
    ground = destination.ground
    if schema is None:
        problems.warning(
            "create-unread", job.name, "without pg_dump nothing is known here of what is made besides tables",
            "Install the PostgreSQL client here to see it; the reader needs it anyway.",
        )  # fmt: skip
        return
    _lost(set(scope), schema, problems)
    if ground is not None:
        _check_ground(schema.objects, ground, destination, problems)


def _lost(carried: set[TableName], schema: SourceSchema, problems: Problems) -> None:
    for lost in schema.lost:
        name = TableName(schema_name=lost.schema_name, name=lost.name)
        if lost.kind == "TABLE" and name in carried:
            problems.error(
                "create-needs", name, f"it cannot be made without {lost.lost}, which is not carried",
                f"Carry {lost.lost} (mode truncate leaves it empty), or exclude {name}.",
            )  # fmt: skip
        else:
            problems.warning(
                "create-without", str(lost), f"is not made: it needs {lost.lost}, which is not carried",
                f"Carry {lost.lost} to have it.",
            )  # fmt: skip
    if schema.unneeded:
        problems.warning(
            "create-extensions", ", ".join(schema.unneeded), "they are not made: nothing that is made depends on these extensions",
            "If a function's text calls them, create them in the destination before the run.",
        )  # fmt: skip


def _check_ground(objects: Sequence[SchemaObject], ground: Ground, destination: Catalogue, problems: Problems) -> None:
    role = quote_ident(destination.role)
    _check_locks(objects, ground, problems)
    taken = set(ground.taken)
    needed = {o.schema_name: None for o in objects if o.schema_name and o.kind not in ("SCHEMA", "EXTENSION")}
    missing = [name for name in needed if name not in ground.schemas]
    for name in needed:
        if name in ground.schemas and name not in ground.open_schemas:
            problems.error(
                "privilege", name, f"the destination's role {destination.role} may not create in the schema",
                f"GRANT USAGE, CREATE ON SCHEMA {quote_ident(name)} TO {role};",
            )  # fmt: skip
    if missing and not ground.may_create:
        problems.error(
            "privilege", ", ".join(missing), f"the destination's role {destination.role} may not create schemas",
            f"GRANT CREATE ON DATABASE {quote_ident(destination.database)} TO {role};",
        )  # fmt: skip
    there: list[SchemaObject] = []
    for made in objects:
        if made.kind == "EXTENSION":
            _check_extension(made, ground, destination, problems)
        elif made.takes in taken:
            there.append(made)
        elif made.kind in SUPERUSERS and not ground.superuser:
            problems.error(
                "create-superuser", str(made), "only a superuser makes such a thing",
                "Exclude what needs it, or make the schema yourself and use mode: existing.",
            )  # fmt: skip
        elif made.forces_row_security and not ground.bypasses_row_security:
            problems.error(
                "row-security", str(made), "its policies apply to its owner, which the destination's role will be",
                f"ALTER ROLE {role} BYPASSRLS;",
            )  # fmt: skip
        elif unknown := sorted(set(made.roles) - set(ground.roles)):
            problems.warning(
                "create-without", str(made), f"is not made: the destination has no role {', '.join(unknown)}",
                "Create the role there to have it.",
            )  # fmt: skip
    _say_there(there, problems)


def _say_there(there: Sequence[SchemaObject], problems: Problems) -> None:
    """Names that are taken: one by one where they are few, as one where most of the schema is there."""
    if len(there) <= NAMED_MAX:
        for made in there:
            problems.error(
                "create-exists", str(made), "the destination has something of this name already",
                f"Drop or rename {made.takes} there, leave it out here, or use mode: existing for tables that are there.",
            )  # fmt: skip
        return
    named = [made for made in there if made.kind == "TABLE"] or there
    problems.error(
        "create-exists", str(named[0]),
        f"the destination has this and {len(there) - 1} other things already that the run would make",
        "Drop them there (the schema, or the database), or use mode: existing or truncate for tables that are there.",
    )  # fmt: skip


def _check_locks(objects: Sequence[SchemaObject], ground: Ground, problems: Problems) -> None:
    """All that is made goes again in one transaction where the run fails, which locks every relation of it."""
    needed = sum(LOCKS.get(made.kind, 1) for made in objects if made.takes)
    if ground.locks and needed > ground.locks:
        problems.error(
            "create-locks", "max_locks_per_transaction",
            f"making {len(objects):,} things in one transaction takes about {needed:,} locks, and the destination's server has "
            f"room for {ground.locks:,}",
            "Raise max_locks_per_transaction on that server and restart it, or carry fewer tables per job.",
        )  # fmt: skip


def _check_extension(made: SchemaObject, ground: Ground, destination: Catalogue, problems: Problems) -> None:
    name = made.name
    statement = f"CREATE EXTENSION {quote_ident(name)};"
    if name in ground.extensions:
        return
    if name not in ground.available:
        problems.error(
            "create-extension", name, "the destination's server does not have this extension",
            "Install its package there, or exclude what needs it.",
        )  # fmt: skip
    elif not (ground.superuser or (ground.available[name] and ground.may_create)):
        problems.error(
            "create-extension", name, f"the destination's role {destination.role} may not create this extension",
            f"As a superuser, in the destination: {statement}",
        )  # fmt: skip
