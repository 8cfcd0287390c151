"""`key`: a keyed bijection per value domain, so that both sides of every foreign key agree by construction."""

from __future__ import annotations

from typing import ClassVar, Literal

from tailrace_shared.generators.base import KEY_FAMILIES, GeneratorSpec, Injectivity, Making
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.generators.regions import largest_key
from tailrace_shared.types import Family

UUID_FREE_BITS = 122
"""Of 128; version and variant stay (RFC 9562)."""
INTEGER_KEYS = {"int2": (1 << 15) - 1, "int4": (1 << 31) - 1, "int8": (1 << 63) - 1}
"""Dense keys are 1 … N: the largest one of each type."""
TEXT_KEY_CHARS = 12
"""Of a dense text key, where the column is wide enough: 60 bits in base 32."""


class Key(GeneratorSpec):
    """Integers by region, numerics within their count of digits, uuids on their free bits, text within its shape."""

    generator: Literal["key"] = "key"
    families: ClassVar[frozenset[Family]] = KEY_FAMILIES
    domain_family: ClassVar[str] = "key"
    from_ordinal: ClassVar[bool] = True

    def making(self, column: MaskColumn) -> Making:
        return "exact"

    def made_space(self, column: MaskColumn) -> int | None:
        """Dense keys: 1 … N as integers, uuids and base 32 texts by a permutation of their space."""
        kind = column.type
        if kind.family == "integer":
            return INTEGER_KEYS.get(kind.base, INTEGER_KEYS["int8"])
        if kind.family == "number":
            return 10**18 if kind.precision is None else int(10 ** min(18, kind.precision - (kind.scale or 0))) - 1
        return 1 << UUID_FREE_BITS if kind.family == "uuid" else int(32 ** text_key_chars(column))

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


def text_key_chars(column: MaskColumn) -> int:
    """Characters of a dense text key in this column."""
    limit = char_limit(column)
    return TEXT_KEY_CHARS if limit is None else min(limit, TEXT_KEY_CHARS)


def key_limit(column: MaskColumn) -> int | None:
    """Largest source value that `key` maps within the column: None where every value of the type does.

    Only a numeric(p, s) that is joined with integers has one: the planner compares it with the column's maximum.
    """
    kind = column.type
    if kind.family != "number" or column.family != "integer" or kind.precision is None:
        return None
    limit = largest_key(max(0, kind.precision - (kind.scale or 0)))
    return None if limit >= (1 << 63) - 1 else limit
