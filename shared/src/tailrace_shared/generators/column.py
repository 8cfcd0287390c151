"""What a kernel is built from: the column it fills, and why a generator may refuse that column."""

from __future__ import annotations

from typing import NamedTuple

from tailrace_shared.types import ColumnType, Family, Frozen


class MaskColumn(Frozen):
    """A column as generators see it: type, value domain and limits; made by the planner, carried in the plan."""

    type: ColumnType
    domain: str
    """Values of one domain mask alike; the kernel's key derives from the mask secret and this name."""
    family: Family
    """Family of the *domain*: ``integer`` for a numeric key that is joined with integers, else the type's own."""
    unique: bool = False
    """A unique index covers this column alone; so does a primary key."""
    folded: bool = False
    """Equality ignores case (citext, a unique index over ``lower(x)``): the mask runs on the lower-cased text."""
    max_chars: int | None = None
    """Most characters that the destination takes; None is unlimited."""
    nullable: bool = True
    """Of a generated table: the destination's column takes NULL."""


class Refusal(NamedTuple):
    """Why a generator cannot fill a column, and what to do instead."""

    code: str
    """Stable and greppable: ``generator.family``."""
    reason: str
    remedy: str


def char_limit(column: MaskColumn) -> int | None:
    """Most characters that fit: the smaller one of the type's length and the destination's limit."""
    limits = [limit for limit in (column.max_chars, column.type.length) if limit is not None]
    if column.type.base == "name":
        limits.append(63)  # bytes of PostgreSQL's NAMEDATALEN, less the terminator
    elif column.type.base == "char":
        limits.append(1)
    return min(limits) if limits else None
