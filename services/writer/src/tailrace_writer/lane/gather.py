"""From records to what is folded: a table's changes in order, cut where it was truncated or where its columns changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tailrace_shared.changes.body import Body
from tailrace_shared.changes.controls import Truncated
from tailrace_shared.changes.rows import ChangeRows
from tailrace_writer.lane.fold import UPDATE, Changes, Flags
from tailrace_writer.lane.seen import Seen


@dataclass
class Pending:
    """What is to be done to one table, in order."""

    truncate: bool = False
    """First of all: empty it. What came before does not matter."""
    parts: list[Changes] = field(default_factory=list)
    """Folded one after the other; more than one where columns have changed their type on the way."""
    loose: list[ChangeRows] = field(default_factory=list)
    rows: int = 0


class Gathering:
    """Gathers bodies of successive records until they are applied.

    ``follows``: tables that are to be followed, each with what its load has seen (None: everything is new to it).
    """

    def __init__(self, identities: Mapping[int, tuple[str, ...]], follows: Mapping[int, Seen | None]) -> None:
        self._identities = identities
        self._follows = follows
        self._tables: dict[int, Pending] = {}

    def add(self, body: Body, above: int, below: int | None = None) -> None:
        """Take a record's transactions above a commit LSN, and below another."""
        cuts: dict[int, int] = {}
        for entry in body.controls:
            if isinstance(entry, Truncated) and entry.lsn > above and (below is None or entry.lsn < below):
                for number in entry.tables:
                    if number in self._follows and not self._saw(number, entry.xid, entry.lsn):
                        self._tables[number] = Pending(truncate=True)
                        cuts[number] = entry.seq
        for number, rows in body.tables:
            if number not in self._follows:
                continue
            keep = rows.lsn > np.uint64(max(above, 0))
            if below is not None:
                keep &= rows.lsn < np.uint64(below)
            if number in cuts:
                keep &= rows.seq > cuts[number]
            if (seen := self._follows[number]) is not None:
                keep &= ~seen.mask(rows.xid, rows.lsn)
            if not keep.any():
                continue
            pending = self._tables.setdefault(number, Pending())
            pending.loose.append(rows if keep.all() else chosen(rows, keep))
            pending.rows += int(keep.sum())

    @property
    def rows(self) -> int:
        """Changes that wait."""
        return sum(pending.rows for pending in self._tables.values())

    def take(self) -> dict[int, Pending]:
        """Everything that waits, ready to be folded; nothing waits any more."""
        taken, self._tables = self._tables, {}
        for number, pending in taken.items():
            pending.parts = [joined(group, self._identities[number]) for group in _alike(pending.loose)]
            pending.loose = []
        return taken

    def _saw(self, number: int, xid: int, lsn: int) -> bool:
        seen = self._follows[number]
        return seen is not None and seen.saw(xid, lsn)


def joined(parts: Sequence[ChangeRows], identity: tuple[str, ...]) -> Changes:
    """Changes of one table as fold takes them. ``identity`` empty: the whole old rows."""
    names = parts[0].names
    positions = [names.index(name) for name in (identity or names)]
    columns = [_joined([part.columns[i] for part in parts]) for i in range(len(names))]
    olds = [_joined([_old(part, i) for part in parts]) for i in positions]
    op = np.concatenate([part.op for part in parts]).astype(np.int8)
    has_old = np.concatenate([part.has_old for part in parts])
    gone = [np.zeros((len(part), len(names)), bool) if part.gone is None else part.gone for part in parts]
    return Changes(
        op=op,
        rows=pa.RecordBatch.from_arrays(columns, names=list(names)),
        old=pa.RecordBatch.from_arrays(olds, names=[names[i] for i in positions]),
        moved=(op == UPDATE) & has_old,
        gone=np.concatenate(gone),
    )


def chosen(rows: ChangeRows, keep: Flags) -> ChangeRows:
    """The rows that a mask keeps."""
    mask = pa.array(keep)
    return ChangeRows(
        rows.op[keep], rows.seq[keep], rows.xid[keep], rows.lsn[keep], rows.time[keep], rows.has_old[keep],
        None if rows.gone is None else rows.gone[keep],
        {i: array.filter(mask) for i, array in rows.old.items()}, rows.names, tuple(c.filter(mask) for c in rows.columns),
    )  # fmt: skip


def _alike(parts: Sequence[ChangeRows]) -> list[list[ChangeRows]]:
    """Runs of parts whose columns have the same types."""
    groups: list[list[ChangeRows]] = []
    for part in parts:
        if groups and _types(groups[-1][-1]) == _types(part):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _types(part: ChangeRows) -> tuple[object, ...]:
    return part.names, tuple(c.type for c in part.columns)


def _old(part: ChangeRows, position: int) -> pa.Array:
    """Old values of a column; NULL where none came with the record."""
    array = part.old.get(position)
    kind = part.columns[position].type
    if array is None:
        return pa.nulls(len(part), kind)
    return array if array.type == kind else array.cast(kind)


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
