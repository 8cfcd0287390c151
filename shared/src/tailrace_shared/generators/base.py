"""The contract of every generator spec: options as fields, properties that the planner asks for."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field

from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.types import Family, Frozen

Injectivity = Literal["exact", "probable", "none"]
"""``exact``: proved by construction. ``probable``: distinct inputs collide with probability n² / 2N."""
Nulls = Literal["kept", "made", "filled"]
"""``kept``: NULL stays NULL. ``made``: every value becomes NULL. ``filled``: NULL gets a value, too."""
Making = Literal["exact", "probable", "indexed", "free", "none"]
"""How values are made from ordinals. ``exact``: rows differ by construction. ``probable``: they differ with the probability that
`output_space` gives. ``indexed``: a draw from `output_space` values, which a permutation makes differ. ``free``: rows may
repeat. ``none``: it needs a value to make one from."""

ALL_FAMILIES: frozenset[Family] = frozenset(get_args(Family))
TEXT: frozenset[Family] = frozenset({"text"})


class GeneratorSpec(Frozen):
    """A column's rule: which generator, with which options.

    Subclasses pin ``generator`` to their name and declare the class properties. All methods are pure; none sees data.
    """

    generator: str
    domain: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Value domain: columns of one domain map equal values alike. Default: the key's root column, "
        "or the generator's own family.",
    )

    deterministic: ClassVar[bool] = True
    """The same secret, domain and value always give the same output."""
    row_local: ClassVar[bool] = True
    """The output depends on the row alone, so change capture agrees with a snapshot."""
    families: ClassVar[frozenset[Family]]
    """Families of column types that it accepts."""
    domain_family: ClassVar[str]
    """Default domain of a column that is not part of a key."""
    nulls: ClassVar[Nulls] = "kept"
    masks: ClassVar[bool] = True
    """The output hides the input; False for `duplicate`."""
    from_value: ClassVar[bool] = True
    """It fills a column of a carried table from the column's values."""
    from_ordinal: ClassVar[bool] = False
    """It fills a column of a generated table, from the number of the row alone."""

    def making(self, column: MaskColumn) -> Making:
        """How its values in a generated table relate to each other."""
        return "none"

    def made_space(self, column: MaskColumn) -> int | None:
        """How many rows of a generated table can differ in it; None is unbounded."""
        return self.output_space(column)

    def refuse_rows(self, column: MaskColumn, rows: int) -> str | None:
        """Why it cannot make so many rows of a generated table; None when it can."""
        return None

    def injectivity(self, column: MaskColumn) -> Injectivity:
        """Whether distinct values (as the column's equality sees them) stay distinct."""
        return "none"

    def injective(self, column: MaskColumn) -> bool:
        """Whether a unique index can hold the output: exactly, or with the probability that `output_space` gives."""
        return self.injectivity(column) != "none"

    def output_space(self, column: MaskColumn) -> int | None:
        """N, the number of distinct outputs; None is unbounded or decided by the data."""
        return None

    def max_output_chars(self, column: MaskColumn) -> int | None:
        """Most characters of an output; None where it is not text or follows the input's length."""
        return None

    def check(self, column: MaskColumn) -> list[Refusal]:
        """Why this generator cannot fill the column: empty when it can."""
        name, kind = self.generator, column.type.name
        if column.type.family not in self.families:
            return [
                Refusal(
                    "generator.family",
                    f"{name} does not accept {kind}",
                    f"choose another generator ({name} takes {', '.join(sorted(self.families))}), "
                    "or null, constant or duplicate",
                )
            ]
        found = self.refusals(column)
        if column.unique and not self.injective(column):
            remedy = "use key (a bijection)"
            if "unique" in type(self).model_fields:
                remedy = "set unique: true, or use key (a bijection)"
            elif column.type.family not in KEY_FAMILIES:
                remedy = "duplicate it, or exclude the table"
            found.append(
                Refusal("generator.not-injective", f"{name} is not injective, and the column is unique", remedy)
            )
        return found

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        """A subclass's own reasons; the family is accepted already."""
        return []


KEY_FAMILIES: frozenset[Family] = frozenset({"integer", "number", "text", "uuid"})
"""Families that `key` can permute."""


def too_short(name: str, column: MaskColumn, needed: int, remedy: str) -> list[Refusal]:
    """A refusal when the column's limit is below the shortest form of the generator's output."""
    limit = char_limit(column)
    if limit is None or limit >= needed:
        return []
    return [
        Refusal(
            "generator.too-long",
            f"{name} needs {needed} characters, and the column takes {limit}",
            remedy,
        )
    ]
