"""A random sample by a column's value: rows of two tables that agree in it are in it together, or not at all."""

from __future__ import annotations

from typing import Final

from tailrace_shared.types import quote_ident

BUCKETS: Final = 1 << 30
ALL_PERCENT: Final = 100.0


def sampled_by(column: str, percent: float, seed: int) -> str:
    """Condition on rows ``t``: about so many percent of the column's values, by a keyed hash of their text. NULL is never in it."""
    text = f'CAST(t.{quote_ident(column)} AS text) COLLATE pg_catalog."C"'
    below = max(1, round(percent / ALL_PERCENT * BUCKETS))
    return f"(pg_catalog.hashtextextended({text}, {int(seed)}) & {BUCKETS - 1}) < {below}"
