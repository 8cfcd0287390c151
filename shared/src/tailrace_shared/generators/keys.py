"""`key`: a keyed bijection per value domain, so that both sides of every foreign key agree by construction."""

from __future__ import annotations

from typing import ClassVar, Literal

from tailrace_shared.generators.base import KEY_FAMILIES, GeneratorSpec, Injectivity
from tailrace_shared.generators.column import MaskColumn, Refusal
from tailrace_shared.generators.regions import largest_key
from tailrace_shared.types import Family

UUID_FREE_BITS = 122
"""Of 128; version and variant stay (RFC 9562)."""


class Key(GeneratorSpec):
    """Integers by region, numerics within their count of digits, uuids on their free bits, text within its shape."""

    generator: Literal["key"] = "key"
    families: ClassVar[frozenset[Family]] = KEY_FAMILIES
    domain_family: ClassVar[str] = "key"

    def injectivity(self, column: MaskColumn) -> Injectivity:
        return "exact"

    def output_space(self, column: MaskColumn) -> int | None:
        """2¹²² for uuids; decided by the data for integers (`regions.region_size`) and text (`shapes.shape_size`)."""
        return 1 << UUID_FREE_BITS if column.type.family == "uuid" else None

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        own, domain = column.type.family, column.family
        if own == "number" and domain == "integer":
            return self._numeric_with_integers(column)
        if own != domain:
            return [
                Refusal(
                    "generator.mixed-domain",
                    f"the key's domain {column.domain} mixes {domain} with {column.type.name}",
                    "give the columns domains of their own, or duplicate both sides",
                )
            ]
        return []

    def _numeric_with_integers(self, column: MaskColumn) -> list[Refusal]:
        """Integer regions are binary: a numeric(p, s) holds the lowest ones only (`key_limit` says how far)."""
        if key_limit(column) == 0:
            return [
                Refusal(
                    "generator.key-digits",
                    f"{column.type.name} has too few digits for an integer key: masked keys reach 32767",
                    "widen the destination's column to numeric(5) or more, or duplicate the key",
                )
            ]
        return []


def key_limit(column: MaskColumn) -> int | None:
    """Largest source value that `key` maps within the column: None where every value of the type does.

    Only a numeric(p, s) that is joined with integers has one: the planner compares it with the column's maximum.
    """
    kind = column.type
    if kind.family != "number" or column.family != "integer" or kind.precision is None:
        return None
    limit = largest_key(max(0, kind.precision - (kind.scale or 0)))
    return None if limit >= (1 << 63) - 1 else limit
