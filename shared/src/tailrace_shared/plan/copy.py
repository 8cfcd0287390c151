"""Whether a table's batches go into the destination by binary COPY or as CSV text.

Binary is about twice as cheap, and takes only what the encoder writes byte for byte as PostgreSQL receives it; every type has
a text input. A batch that carries a column as text, because a value does not fit the wire type, goes as CSV whatever the plan
says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from tailrace_shared.plan.model import PlannedColumn

TYPED: Final = frozenset(
    {"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "date", "timestamp", "timestamptz", "time", "uuid"}
)
"""Base types with a wire type of their own; the destination's must be the same."""
TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name", "citext"})
"""Received as their characters; any of them takes any other's."""
JSON: Final = frozenset({"json", "jsonb"})
"""Received as characters, ``jsonb`` after a version byte."""


def copy_format(columns: Iterable[PlannedColumn]) -> Literal["binary", "csv"]:
    """``binary`` where every column can go so."""
    return "binary" if all(map(_binary, columns)) else "csv"


def _binary(column: PlannedColumn) -> bool:
    source, destination = column.type, column.destination_type
    if source.wire != "text":
        return source.base == destination.base and source.base in TYPED
    if source.base in TEXTS:
        return destination.base in TEXTS
    if source.base in JSON:
        return destination.base in JSON
    return source.family == destination.family == "enum"
