"""Partitions from their catalogue rows: sizes, bounds, and whether a level has a place for every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from tailrace_shared.catalogue.columns import Row
from tailrace_shared.catalogue.model import Partition, TableName

MODULUS: Final = re.compile(r"modulus (\d+)")


def partition_of(row: Row, name: TableName, members: Mapping[int, Row]) -> Partition:
    """A leaf from its row of RELATIONS; ``members`` are all of them by oid."""
    return Partition(
        name=name,
        oid=row["oid"],
        filenode=row["filenode"],
        pages=pages_of(row),
        rows=row["rows"],
        bytes=row["heap"] + row["toast"],
        kind="f" if row["kind"] == "f" else "r",
        bounds=tuple(bounds_of(row, members)),
        takes=row["takes"] or "",
    )


def bounds_of(row: Row, members: Mapping[int, Row]) -> list[str]:
    """Of every level, from the top down."""
    above = members.get(row["parent"])
    return [*(bounds_of(above, members) if above else []), row["bound"]] if row["bound"] else []


def takes_all(key: Row, children: Iterable[Row]) -> bool:
    """Whether every value has a partition at this level: a default one, or all remainders of a hash.

    ``key`` is a row of PARTITION_KEYS, ``children`` the rows of the level's partitions.
    """
    if key["strategy"] != "h":
        return bool(key["has_default"])
    shares = (MODULUS.search(child["bound"]) for child in children)
    return sum(Fraction(1, int(share[1])) for share in shares if share) == 1


def pages_of(row: Row) -> int:
    """Blocks of the heap as it is now; statistics may be stale."""
    return int(row["heap"] // row["block"])


def estimated_rows(leaves: Sequence[Row]) -> float:
    """Sum of the leaves' estimates; unknown when one of them is."""
    return -1.0 if any(r["rows"] < 0 for r in leaves) else float(sum(r["rows"] for r in leaves))
