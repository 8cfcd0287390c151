"""A planned table as the reader sees it: column names, Arrow types, and what each column adds to a row's weight."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.types import Wire, arrow_type

FIELD_BYTES: dict[Wire, int] = {
    "bool": 1,
    "int16": 5,
    "int32": 8,
    "int64": 12,
    "float32": 10,
    "float64": 17,
    "decimal": 16,
    "date32": 10,
    "time64": 15,
    "timestamp": 26,
    "timestamptz": 29,
    "uuid": 36,
    "text": 4,
}
"""What a column adds to every row's weight: the usual length of the type's text, and for text, whose bytes are counted on
top, its offset. Never below the width in Arrow, so that an encoded batch is no larger than the sum of its rows' weights."""


OBJECT_NAMES = frozenset(
    f"{prefix}reg{kind}"
    for prefix in ("", "_")
    for kind in (
        *(
            "class",
            "collation",
            "config",
            "dictionary",
            "namespace",
            "oper",
            "operator",
            "proc",
            "procedure",
            "role",
            "type",
        ),
    )
)
"""Base types whose text is the name of an object; it lacks the schema where the search path makes that unnecessary."""


@dataclass(frozen=True)
class Layout:
    """Columns in the order of the wire schema."""

    names: tuple[str, ...]
    wires: tuple[Wire, ...]
    types: tuple[pa.DataType, ...]
    names_objects: bool = False
    """Some column's text depends on the search path, which the destination need not have."""

    @staticmethod
    def of(table: PlannedTable) -> Layout:
        """The layout that the plan fixes for a table."""
        columns = table.columns
        return Layout(
            tuple(c.name for c in columns),
            tuple(c.type.wire for c in columns),
            tuple(arrow_type(c.type) for c in columns),
            any(c.type.base in OBJECT_NAMES for c in columns),
        )

    @property
    def row_bytes(self) -> int:
        """Weight of a row before the bytes of its text columns."""
        return sum(FIELD_BYTES[wire] for wire in self.wires)
