"""A type of the conformance table: how it is declared, its edge values, and what both sides must agree in."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "conformance"
"""Where the table's own types and tables are."""


@dataclass(frozen=True, slots=True)
class Sql:
    """A value that is written as an expression, where a literal would be too long or cannot say it."""

    text: str


Value = str | Sql | None


@dataclass(frozen=True, slots=True)
class TypeCase:
    """One row of the table. ``declared`` is what stands in CREATE TABLE; values are literals of it, NULL, or expressions."""

    name: str
    """Of the test and of its table: lower case, digits, underscores."""
    declared: str
    group: str
    values: tuple[Value, ...]
    extension: str = ""
    """Without it the case is left out; the extension is made in a schema of its own."""
    since: int = 14
    probe: str = ""
    """A statement that fails where the server was built without the type."""
    own_oids: bool = False
    """Its binary form holds numbers of types that a database gave itself, so only texts can be equal."""
    note: str = ""

    @property
    def binary(self) -> bool:
        """Whether both sides' binary forms must be equal."""
        return not self.own_oids

    def expression(self, value: Value) -> str:
        """The value in SQL."""
        if value is None:
            return "NULL"
        written = value.text if isinstance(value, Sql) else literal(value)
        return f"({written})::{self.declared}"


def literal(text: str) -> str:
    """A string constant whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def array_of(case: TypeCase) -> TypeCase:
    """The case of its arrays: every value as an element, none, NULLs, two dimensions, and a lower bound of its own."""
    small = [v for v in case.values if v is not None and not (isinstance(v, Sql) and "repeat" in v.text)]
    elements = [case.expression(v) for v in small]
    some = (elements * 2)[:2]
    array = f"{case.declared}[]"
    return TypeCase(
        name=f"arrays_of_{case.name}",
        declared=array,
        group="arrays",
        values=(
            None,
            "{}",
            Sql(f"ARRAY[{', '.join(elements)}]::{array}"),
            Sql(f"ARRAY[NULL, {elements[0]}, NULL]::{array}"),
            Sql(f"ARRAY[ARRAY[{some[0]}, NULL], ARRAY[NULL, {some[1]}]]::{array}"),
            Sql(f"array_fill({elements[0]}, ARRAY[2, 1, 2], ARRAY[0, -3, 7])"),
        ),
        extension=case.extension,
        since=case.since,
        probe=case.probe,
        own_oids=case.own_oids or bool(case.extension) or case.group == "made by users",
    )
