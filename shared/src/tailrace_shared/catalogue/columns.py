"""Columns and their types: domains resolved to base and family, modifiers to length, precision and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from tailrace_shared.catalogue.model import CheckConstraint, Column
from tailrace_shared.types import ColumnType, Family


class Row(Protocol):
    """A row of a catalogue query, by the query's column names."""

    def __getitem__(self, name: str, /) -> Any: ...


FAMILIES: Final[dict[str, Family]] = {
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "numeric": "number",
    "float4": "float",
    "float8": "float",
    "text": "text",
    "varchar": "text",
    "bpchar": "text",
    "name": "text",
    "char": "text",
    "citext": "text",
    "uuid": "uuid",
    "bool": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "time": "time",
    "interval": "interval",
    "bytea": "bytes",
    "json": "json",
    "jsonb": "json",
}
"""By ``typname``; everything else is ``other`` (``timetz`` too: its equality depends on the zone)."""

KNOWN: Final = frozenset({*FAMILIES, "bit", "varbit", "timetz", "money", "xml"}) - {"citext"}
"""Names of PostgreSQL's types that mean something to Tailrace."""
VARHDRSZ: Final = 4
"""Bytes that PostgreSQL adds to the modifiers of varchar, bpchar and numeric."""
TIME_TYPES: Final = frozenset({"timestamp", "timestamptz", "time", "timetz"})
INTERVAL_FULL: Final = 0xFFFF
CASE_ONLY: Final = "ks-level2"
"""ICU collation strength that ignores case and nothing else (Unicode TS #35, part 5)."""


def column_of(row: Row, types: Mapping[int, Row]) -> Column:
    """A column from its row of COLUMNS; ``types`` are the rows of TYPES by oid."""
    chain = domain_chain(row["type"], types)
    return Column(
        name=row["name"],
        number=row["number"],
        type=column_type(row, types),
        nullable=not (row["not_null"] or any(d["not_null"] for d in chain[:-1])),
        has_default=row["has_default"] or bool(row["identity"]) or any(d["has_default"] for d in chain),
        not_null_proved=row["proved"],
        identity=row["identity"],
        generated=row["generated"],
        loose=row["nondeterministic"] and CASE_ONLY not in (row["locale"] or "").lower(),
    )


def column_type(row: Row, types: Mapping[int, Row]) -> ColumnType:
    """The type of a column, domains resolved."""
    chain = domain_chain(row["type"], types)
    base = chain[-1]
    name = base["name"]
    family: Family = "enum" if base["kind"] == "e" else "other"
    if base["kind"] == "b" and (base["schema"] == "pg_catalog" or name == "citext"):
        family = FAMILIES.get(name, "other")
    elif base["schema"] != "pg_catalog" and name.lstrip("_") in KNOWN:
        name = f"{base['schema']}.{name}"  # somebody's own type that happens to be called so
    modifier = next((m for m in (row["modifier"], *(d["modifier"] for d in chain[:-1])) if m >= 0), -1)
    length, precision, scale = limits(name, modifier)
    return ColumnType(
        name=row["type_name"],
        base=name,
        family=family,
        length=length,
        precision=precision,
        scale=scale,
        folded=family == "text" and (name == "citext" or row["nondeterministic"]),
        enum=tuple(base["labels"]),
        element=_element(base, modifier, types),
        parts=tuple(base["parts"]),
    )


def _element(base: Row, modifier: int, types: Mapping[int, Row]) -> ColumnType | None:
    """What an array is made of; its modifier is the elements'."""
    if base["element"] is None or base["element"] not in types:
        return None
    element = types[base["element"]]
    name = f"{element['schema']}.{element['name']}"
    row = {"type": base["element"], "modifier": modifier, "type_name": name, "nondeterministic": False}
    return column_type(row, types)


def domain_chain(oid: int, types: Mapping[int, Row]) -> list[Row]:
    """The type, then what it is a domain over, down to the base type."""
    chain = [types[oid]]
    while chain[-1]["kind"] == "d":
        chain.append(types[chain[-1]["base"]])
    return chain


def domain_checks(columns: Sequence[Row], types: Mapping[int, Row]) -> list[CheckConstraint]:
    """The checks that domains put on these columns."""
    return [
        CheckConstraint(
            name=name, definition=definition, columns=(row["name"],), domain=f"{domain['schema']}.{domain['name']}"
        )
        for row in columns
        for domain in domain_chain(row["type"], types)[:-1]
        for name, definition in zip(domain["checks"], domain["definitions"], strict=True)
    ]


def limits(base: str, modifier: int) -> tuple[int | None, int | None, int | None]:
    """Length, precision and scale that a type modifier stands for."""
    if modifier < 0:
        return (1 if base == "char" else 63 if base == "name" else None), None, None
    if base in ("varchar", "bpchar"):
        return modifier - VARHDRSZ, None, None
    if base in ("bit", "varbit"):
        return modifier, None, None
    if base == "numeric":
        packed = modifier - VARHDRSZ
        # 11 bits, two's complement: a scale may be negative since 15.
        return None, packed >> 16 & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024
    if base in TIME_TYPES:
        return None, None, modifier
    if base == "interval" and modifier & 0xFFFF != INTERVAL_FULL:
        return None, None, modifier & 0xFFFF
    return None, None, None
