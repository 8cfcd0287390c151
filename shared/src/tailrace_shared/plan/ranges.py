"""Ranges: pieces of a heap of about equal bytes, cut by blocks."""

from __future__ import annotations

from tailrace_shared.catalogue.model import Table
from tailrace_shared.plan.model import Leaf, PlannedRange


def leaves_of(table: Table) -> tuple[Leaf, ...]:
    """The heaps that are read: the partitions, or the table itself."""
    if table.kind == "p":
        return tuple(Leaf(name=p.name, oid=p.oid, filenode=p.filenode) for p in table.partitions)
    return (Leaf(name=table.name, oid=table.oid, filenode=table.filenode),)


def ranges_of(table: Table, range_bytes: int) -> tuple[PlannedRange, ...]:
    """Ranges of about ``range_bytes``, heap and TOAST, over all heaps; the last of each heap is open-ended.

    Sizes are those of the files, so an update-heavy heap counts its dead rows, too: its ranges are only smaller.
    """
    sizes = [(p.pages, p.bytes) for p in table.partitions] if table.kind == "p" else [(table.pages, table.bytes)]
    found: list[PlannedRange] = []
    for leaf, (pages, size) in enumerate(sizes):
        step = max(1, range_bytes * pages // size) if size and pages else 1
        lows = range(0, pages, step) or range(1)
        for low in lows:
            last = low + step >= pages
            blocks = (pages if last else low + step) - low
            found.append(
                PlannedRange(
                    number=len(found),
                    leaf=leaf,
                    low=low,
                    high=None if last else low + step,
                    estimated_bytes=blocks * size // pages if pages else 0,
                )
            )
    return tuple(found)
