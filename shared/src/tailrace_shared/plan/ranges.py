"""Ranges: pieces of a heap of about equal bytes, cut by blocks."""

from __future__ import annotations

from tailrace_shared.catalogue.model import Table
from tailrace_shared.plan.model import Leaf, PlannedRange, RowEnd


def leaves_of(table: Table) -> tuple[Leaf, ...]:
    """The heaps that are read: the partitions, or the table itself."""
    if table.kind == "p":
        return tuple(Leaf(name=p.name, oid=p.oid, filenode=p.filenode) for p in table.partitions)
    return (Leaf(name=table.name, oid=table.oid, filenode=table.filenode),)


def ranges_of(table: Table, range_bytes: int) -> tuple[PlannedRange, ...]:
    """Ranges of about ``range_bytes``, heap and TOAST, over all heaps; the last of each heap is open-ended.

    A view has one, whose blocks are row positions. Sizes are those of the files, so an update-heavy heap counts its dead rows,
    too: its ranges are only smaller.
    """
    if table.kind == "v":  # one stream, whose end is known only when it has been read
        size = min(range_bytes, table.bytes) if table.bytes else range_bytes
        return (PlannedRange(number=0, leaf=0, low=0, high=None, estimated_bytes=size),)
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


def ended(ranges: tuple[PlannedRange, ...], end: RowEnd) -> tuple[PlannedRange, ...]:
    """The ranges up to a row limit's end, which lies inside the last of them; what comes after is not read."""
    found = []
    for piece in ranges:
        if (piece.leaf, piece.low) > (end.leaf, end.block):
            continue
        if piece.leaf == end.leaf and (piece.high is None or (piece.high, piece.high_item) > (end.block, end.item)):
            share = (end.block + 1 - piece.low) / max(1, (piece.high or end.block + 1) - piece.low)
            cut = {
                "high": end.block,
                "high_item": end.item,
                "estimated_bytes": int(piece.estimated_bytes * min(1.0, share)),
            }
            found.append(piece.model_copy(update=cut))
        else:
            found.append(piece)
    return tuple(found)
