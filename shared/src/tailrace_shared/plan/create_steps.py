"""What a run makes, step by step: tables bare before the load; keys, indexes, triggers and the rest after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Ground, TableName
from tailrace_shared.plan.create_model import SchemaObject, SourceSchema
from tailrace_shared.plan.ddl import NOT_VALID_PARTITIONED
from tailrace_shared.plan.model import DdlStep, PlannedTable
from tailrace_shared.types import qualified, quote_ident

BEFORE: Final = frozenset(
    {
        "SCHEMA", "EXTENSION", "TYPE", "SHELL TYPE", "DOMAIN", "COLLATION", "CONVERSION", "FUNCTION", "PROCEDURE", "AGGREGATE",
        "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "CAST", "TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE",
        "SEQUENCE OWNED BY", "DEFAULT", "TABLE ATTACH", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY",
        "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE",
    }
)  # fmt: skip
"""What is made before the load, as pg_dump's section pre-data has it."""
PARTS_BEFORE: Final = frozenset({"SEQUENCE OWNED BY", "DEFAULT", "TABLE ATTACH"})
"""Those of them that go with what they are a part of."""
_AFTER: Final = {"CONSTRAINT": "create-index", "INDEX": "create-index", "INDEX ATTACH": "create-attach"}
_ADD: Final = re.compile(r"ADD CONSTRAINT .*\bFOREIGN KEY\b", re.DOTALL)


def create_steps(
    planned: Sequence[PlannedTable], schema: SourceSchema, destination: Catalogue, names: Mapping[TableName, TableName]
) -> tuple[DdlStep, ...]:
    """Steps in the order of their making; ``destination`` as it will be, ``names`` each partition's table."""
    steps: list[DdlStep] = []
    views = {table.name: table for table in planned if table.view or table.materialised}
    ground = destination.ground or Ground()
    for made in (*_schemas(schema, ground), *schema.objects):
        name = TableName(schema_name=made.schema_name, name=made.name)
        if made.kind in ("VIEW", "MATERIALIZED VIEW", "RULE", "REFRESH") and (made.on or name) in views:
            if made.kind in ("VIEW", "MATERIALIZED VIEW"):
                steps.append(_table_of_view(len(steps), views[name]))
            continue
        if made.kind == "SCHEMA" and made.name in ground.schemas:
            continue
        if made.kind == "EXTENSION" and made.name in ground.extensions:
            continue
        if set(made.roles) - set(ground.roles):
            continue
        steps.append(_step(len(steps), made, destination, names))
    return tuple(steps)


def _schemas(schema: SourceSchema, ground: Ground) -> Iterator[SchemaObject]:
    """Schemas that pg_dump takes for granted (public) and the destination lacks."""
    said = {made.name for made in schema.objects if made.kind == "SCHEMA"}
    for name in dict.fromkeys(made.schema_name for made in schema.objects if made.schema_name):
        if name not in said and name not in ground.schemas:
            quoted = quote_ident(name)
            yield SchemaObject(kind="SCHEMA", name=name, identity=quoted, statements=(f"CREATE SCHEMA {quoted}",))


def _step(number: int, made: SchemaObject, destination: Catalogue, names: Mapping[TableName, TableName]) -> DdlStep:
    table = made.on or TableName(schema_name=made.schema_name, name=made.name)
    makes = (made.takes,) if made.takes else ()
    if made.kind in BEFORE:
        identity = made.statements[0].startswith("ALTER TABLE ")  # its sequence is a part of the column
        alone = made.kind not in PARTS_BEFORE and not identity
        drop = f"DROP {_droppable(made.kind)} IF EXISTS {made.identity}" if alone else ""
        return DdlStep(
            number=number, kind="create", table=table, name=str(made), drop=drop, rebuild=(), create=made.statements,
            makes=makes,
        )  # fmt: skip
    if made.kind == "FK CONSTRAINT":
        return DdlStep(
            number=number, kind="create-foreign-key", table=table, name=str(made), drop="",
            rebuild=_foreign_key(made, table, destination, names),
        )  # fmt: skip
    kind = _AFTER.get(made.kind, "create-rest")
    return DdlStep.model_validate(
        {"number": number, "kind": kind, "table": table, "name": str(made), "drop": "", "rebuild": made.statements,
         "makes": makes}
    )  # fmt: skip


def _droppable(kind: str) -> str:
    return "TYPE" if kind == "SHELL TYPE" else kind


def _foreign_key(
    made: SchemaObject, table: TableName, destination: Catalogue, names: Mapping[TableName, TableName]
) -> tuple[str, ...]:
    """Added without a look at the rows, then validated, where the server can do that."""
    first, *more = made.statements
    owner = destination.table(names.get(table, table))
    referred = [
        destination.table(k.references) for k in destination.foreign_keys if (k.table, k.name) == (table, made.name)
    ]
    partitioned = (owner is not None and owner.kind == "p" and owner.name == table) or any(
        parent is not None and parent.kind == "p" for parent in referred
    )
    plain = _ADD.search(first) is not None and not re.search(r"\bNOT (VALID|ENFORCED)$", first)
    if not plain or (partitioned and destination.server_version < NOT_VALID_PARTITIONED):
        return made.statements
    validate = f"ALTER TABLE {qualified(table.schema_name, table.name)} VALIDATE CONSTRAINT {quote_ident(made.name)}"
    return (f"{first} NOT VALID", validate, *more)


def _table_of_view(number: int, table: PlannedTable) -> DdlStep:
    name = qualified(table.name.schema_name, table.name.name)
    columns = ",\n    ".join(f"{quote_ident(c.name)} {c.destination_type.name}" for c in table.columns)
    return DdlStep(
        number=number, kind="create", table=table.name, name=f"table {table.name}", drop=f"DROP TABLE IF EXISTS {name}",
        rebuild=(), create=(f"CREATE TABLE {name} (\n    {columns}\n)",), makes=(str(table.name),),
    )  # fmt: skip
