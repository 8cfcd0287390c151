"""What a source's schema is made of, as statements: read by pg_dump beside the catalogue, planned from in the mode ``create``."""

from __future__ import annotations

from typing import Final

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.types import Frozen

NAMED: Final = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "TYPE", "DOMAIN", "INDEX"})
"""Kinds whose names no other of them may have in a schema. A key's index has its constraint's name."""
ROUTINES: Final = frozenset({"FUNCTION", "PROCEDURE", "AGGREGATE"})
"""Kinds that may share a name when their arguments differ."""


class SchemaObject(Frozen):
    """One object of the source's schema: a table, an index, a function, and what belongs to it (its comments)."""

    kind: str
    """As DROP takes it where it can be dropped by itself: ``TABLE``, ``FUNCTION``; ``INDEX``, ``FK CONSTRAINT`` and so on."""
    schema_name: str = ""
    name: str
    identity: str = ""
    """Qualified and quoted as DROP takes it: ``public.f(integer)``."""
    on: TableName | None = None
    """The relation that it is a part of: an index's table."""
    statements: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """Roles that the statements name."""
    lost: str = ""
    """What it depends on and is not carried; such an object is not made."""
    forces_row_security: bool = False
    """A table whose policies apply to its owner, too."""

    @property
    def takes(self) -> str:
        """The name that must be free, as ``Ground.taken`` has it; empty for what is inside of something else."""
        if self.kind in ROUTINES:
            return self.identity
        keys = (" PRIMARY KEY", " UNIQUE", " EXCLUDE")
        index = self.kind == "CONSTRAINT" and any(word in self.statements[0] for word in keys)
        return f"{self.schema_name}.{self.name}" if index or self.kind in NAMED else ""

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.identity or self.name}"


class SourceSchema(Frozen):
    """Everything of the source's schema that a job makes in its destination, in the order of its making."""

    objects: tuple[SchemaObject, ...] = ()
    lost: tuple[SchemaObject, ...] = ()
    """What is left out because it depends on something that is not carried."""
    unneeded: tuple[str, ...] = ()
    """Extensions that nothing carried depends on."""
    version: int = 0
    """pg_dump's major version."""
