"""References that no foreign key declares, guessed from names: ``orders.customer_id`` beside ``customer.id``.

Masked keys must not be joined to unmasked ones. A guessed reference takes the key's value domain, so that both sides map alike;
the plan treats it as any other column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tailrace_shared.catalogue.model import Column, Table, TableName
from tailrace_shared.generators import Key
from tailrace_shared.plan.scope import ColumnRef


class Links:
    """Finds the key that a column's name means."""

    def __init__(self, tables: Mapping[TableName, Table]) -> None:
        self._keys: dict[tuple[str, str], ColumnRef] = {}
        self._types: dict[ColumnRef, Column] = {}
        for name, table in tables.items():
            if len(table.primary_key) != 1:
                continue
            ref = ColumnRef(name, table.primary_key[0])
            column = table.column(ref.column)
            if column is None or column.type.family not in Key.families:
                continue
            self._types[ref] = column
            for singular in _singulars(_snake(name.name)):
                self._keys.setdefault((name.schema_name, singular), ref)

    def target(self, ref: ColumnRef, column: Column) -> ColumnRef | None:
        """The primary key in the same schema that the column's name and type mean; None where there is none, or it is itself."""
        words = _snake(ref.column).split("_")
        if len(words) < 2 or words[-1] != "id":
            return None
        for start in range(len(words) - 1):
            found = self._keys.get((ref.table.schema_name, "_".join(words[start:-1])))
            if found and found != ref and self._types[found].type.family == column.type.family:
                return found
        return None


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _singulars(table: str) -> list[str]:
    """A table's name, and what one of its rows would be called."""
    found = [table]
    for ending, instead in (("ies", "y"), ("ses", "s"), ("s", "")):
        if table.endswith(ending) and len(table) > len(ending) + 1:
            found.append(table.removesuffix(ending) + instead)
    return found
