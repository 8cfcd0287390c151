"""Column types as Tailrace sees them: PostgreSQL's name, the family that decides how values mask, the type on the wire.

The *family* follows the equality of values, not their storage: an ``int4`` and an ``int8`` column of one key domain mask
alike. The *wire type* is the Arrow type in which a column travels; a value that does not fit it (``infinity``, ``NaN``, BC
dates, ``24:00``) makes its batch carry the column as text, and kernels treat both alike.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

Family = Literal[
    "integer",  # int2, int4, int8
    "number",  # numeric
    "float",  # float4, float8
    "text",  # text, varchar, bpchar, name, citext, "char"
    "uuid",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "time",
    "interval",
    "bytes",  # bytea
    "json",  # json, jsonb
    "enum",
    "other",  # everything else: travels as its text, can be duplicated, nulled or set constant
]

Wire = Literal[
    "bool",
    "int16",
    "int32",
    "int64",
    "float32",
    "float64",
    "decimal",
    "date32",
    "timestamp",
    "timestamptz",
    "time64",
    "uuid",
    "text",
]


class Frozen(BaseModel):
    """Base of every contract model: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnType(Frozen):
    """The type of a column, domains resolved to their base type."""

    name: str
    """As ``format_type`` prints it: ``character varying(40)``, ``public.year``."""
    base: str
    """``typname`` of the base type: ``varchar``, ``int4``, ``_text`` for ``text[]``, the enum's own name; with its schema where
    somebody's own type is called like one of PostgreSQL's."""
    family: Family
    length: int | None = None
    """Characters, of ``varchar(n)`` and ``bpchar(n)``; bits, of ``bit(n)`` and ``varbit(n)``."""
    precision: int | None = None
    scale: int | None = None
    """Of ``numeric(p, s)``; fractional digits of time types."""
    folded: bool = False
    """Equality ignores case: citext, a non-deterministic collation."""
    enum: tuple[str, ...] = ()
    """Labels, in order, of an enum."""
    element: ColumnType | None = None
    """Of an array, with the limits that the array's modifier puts on its elements."""
    parts: tuple[str, ...] = ()
    """Attributes of a composite type with their types, or what a range is over."""

    @property
    def wire(self) -> Wire:
        """The type in which the column travels."""
        simple: dict[str, Wire] = {
            "bool": "bool",
            "int2": "int16",
            "int4": "int32",
            "int8": "int64",
            "float4": "float32",
            "float8": "float64",
            "date": "date32",
            "timestamp": "timestamp",
            "timestamptz": "timestamptz",
            "time": "time64",
            "uuid": "uuid",
        }
        if (
            self.base == "numeric"
            and self.precision is not None
            and 0 < self.precision <= 38
            and 0 <= (self.scale or 0) <= self.precision
        ):
            return "decimal"
        return simple.get(self.base, "text")


def arrow_type(column: ColumnType) -> pa.DataType:
    """The Arrow type of a column's wire type."""
    simple = {
        "bool": pa.bool_(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "date32": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "time64": pa.time64("us"),
        "uuid": pa.binary(16),
        "text": pa.string(),
    }
    if column.wire == "decimal":
        return pa.decimal128(column.precision or 38, column.scale or 0)
    return simple[column.wire]


def quote_ident(name: str) -> str:
    """An SQL identifier, always quoted: what is quoted is never reinterpreted."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """``"schema"."name"``."""
    return f"{quote_ident(schema)}.{quote_ident(name)}"
