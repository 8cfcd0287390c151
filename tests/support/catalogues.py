"""Small catalogues, written by hand: ``table("customer", "id int8!", "email text", primary=["id"])``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tailrace_shared.catalogue.columns import FAMILIES, limits
from tailrace_shared.catalogue.model import Catalogue, Column, ForeignKey, Index, Table, TableName
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import DataKey, Fingerprints, Plan, PlannedColumn, PlanResult, Problem
from tailrace_shared.types import ColumnType

ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "OWNER")
HEAD = """\
name: test
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
"""


def name(text: str) -> TableName:
    """``customer`` or ``other.customer``."""
    schema, _, table = text.rpartition(".")
    return TableName(schema_name=schema or "public", name=table)


def column_type(text: str) -> ColumnType:
    """``varchar(40)``, ``numeric(10,2)``, ``enum(a,b)``; ``tsvector`` and others are of the family other."""
    base, _, rest = text.partition("(")
    numbers = rest.rstrip(")").split(",") if rest else []
    if base == "enum":
        return ColumnType(name="public.mood", base="mood", family="enum", enum=tuple(numbers))
    length, precision, scale = limits(base, -1)
    if base in ("varchar", "bpchar") and numbers:
        length = int(numbers[0])
    elif base == "numeric" and numbers:
        precision, scale = int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 0
    elif numbers:
        scale = int(numbers[0])
    family = FAMILIES.get(base, "other")
    return ColumnType(
        name=text, base=base, family=family, length=length, precision=precision, scale=scale, folded=base == "citext"
    )


def column(text: str, number: int = 1, **more: Any) -> Column:
    """``id int8!``: the ``!`` says NOT NULL."""
    column_name, _, kind = text.rpartition(" ")
    values: dict[str, Any] = {"nullable": not kind.endswith("!")} | more
    return Column(name=column_name, number=number, type=column_type(kind.rstrip("!")), **values)


def unique(index_name: str, *columns: str, **more: Any) -> Index:
    definition = f"CREATE UNIQUE INDEX {index_name} ON t USING btree ({', '.join(columns)})"
    values: dict[str, Any] = {"definition": definition, "columns": columns, "uses": columns, "unique": True} | more
    return Index(name=index_name, **values)


def plain_index(index_name: str, *columns: str, **more: Any) -> Index:
    definition = f"CREATE INDEX {index_name} ON t USING btree ({', '.join(columns)})"
    values: dict[str, Any] = {"definition": definition, "columns": columns, "uses": columns} | more
    return Index(name=index_name, **values)


def table(
    table_name: str,
    *columns: str | Column,
    primary: Sequence[str] = (),
    indexes: Iterable[Index] = (),
    oid: int = 1,
    **more: Any,
) -> Table:
    """A plain table of one page per default."""
    own = [c if isinstance(c, Column) else column(c, number) for number, c in enumerate(columns, 1)]
    found = [*indexes]
    if primary:
        key = f"{name(table_name).name}_pkey"
        found.append(unique(key, *primary, primary=True, constraint=key))
    values: dict[str, Any] = {"kind": "r", "filenode": oid, "pages": 1, "bytes": 8192, "rows": 100.0, "has_rows": False}
    return Table(
        name=name(table_name), oid=oid, columns=tuple(own), indexes=tuple(found), owner="owner", **values | more
    )


def foreign_key(
    child: str, columns: Sequence[str], parent: str, referenced: Sequence[str] = ("id",), **more: Any
) -> ForeignKey:
    key = more.pop("name", f"{name(child).name}_{'_'.join(columns)}_fkey")
    definition = f"FOREIGN KEY ({', '.join(columns)}) REFERENCES {name(parent)}({', '.join(referenced)})"
    values: dict[str, Any] = {"definition": definition} | more
    return ForeignKey(
        name=key, table=name(child), columns=tuple(columns), references=name(parent), referenced_columns=tuple(referenced),
        **values,
    )  # fmt: skip


def catalogue(*tables: Table, keys: Iterable[ForeignKey] = (), **more: Any) -> Catalogue:
    """A database whose role may do everything."""
    names = [str(t.name) for t in tables] + [str(p.name) for t in tables for p in t.partitions]
    privileges: dict[str, tuple[str, ...]] = dict.fromkeys(names, ALL)
    privileges |= {t.name.schema_name: ("USAGE", "CREATE") for t in tables}
    values: dict[str, Any] = {
        "server_version": 180000,
        "database": "db",
        "system_id": "1",
        "privileges": privileges,
        "role": "mover",
        "can_create": True,
    }
    return Catalogue(tables=tables, foreign_keys=tuple(keys), **values | more)


def job(text: str = "") -> Job:
    """A job; ``text`` adds to or replaces the head's fields."""
    replaced = {line.split(":")[0] for line in text.splitlines() if line and not line.startswith((" ", "#"))}
    head = "".join(f"{line}\n" for line in HEAD.splitlines() if line.split(":")[0] not in replaced)
    return parse_job(head + text)


def plan(
    text: str, source: Catalogue, destination: Catalogue | None = None, facts: SourceFacts | None = None
) -> PlanResult:
    """Plans into another server's database of the same structure, unless another is given."""
    target = (destination or source).model_copy(update={"system_id": "2"})
    return build_plan(
        job(text),
        source,
        target,
        run="01JD0000000000000000000000",
        attempt=1,
        fingerprints=Fingerprints(mask_secret="s", catalogue="c", pools="p"),
        key=DataKey(id="k", wrapped="w"),
        facts=facts or SourceFacts(),
    )


def planned(
    text: str, source: Catalogue, destination: Catalogue | None = None, facts: SourceFacts | None = None
) -> Plan:
    """The plan, which must be there."""
    result = plan(text, source, destination, facts)
    assert result.plan is not None, [p for p in result.problems if p.severity == "error"]
    return result.plan


def column_of(found: Plan, path: str) -> PlannedColumn:
    """``customer.email`` of a plan."""
    table_name, _, column_name = path.rpartition(".")
    planned_table = next(t for t in found.tables if t.name == name(table_name))
    return next(c for c in planned_table.columns if c.name == column_name)


def errors(result: PlanResult) -> list[tuple[str, str]]:
    """Code and place of every error."""
    return [(p.code, p.where) for p in result.problems if p.severity == "error"]


def warnings(result: PlanResult) -> list[tuple[str, str]]:
    """Code and place of every warning."""
    return [(p.code, p.where) for p in result.problems if p.severity == "warning"]


def the_error(result: PlanResult) -> Problem:
    """The only error."""
    found = [p for p in result.problems if p.severity == "error"]
    assert len(found) == 1, found
    return found[0]
