"""pgoutput (protocol 1, text) decoded by column: thousands of frames to one batch of changes per table. Pure.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html. Text, since every type's text is what COPY writes
under the same session settings: a row that comes this way is parsed as a row of the snapshot is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_reader.capture.events import message, truncated
from tailrace_reader.capture.frames import MESSAGE, Frames
from tailrace_reader.capture.relations import Relation, breaks, differences, parse_relation, text_at
from tailrace_reader.capture.segment import Segment, segment_of
from tailrace_reader.capture.table_rows import NO_ROW, OPERATION, table_rows
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.capture.transactions import Open, Transactions
from tailrace_reader.capture.tuples import Ints, Stream, protocol_error
from tailrace_shared.changes import ChangeRows, Control, RelationChanged, TableReplaced
from tailrace_shared.changes.controls import RelationChange

_BODY = MESSAGE + 1
_RELATION, _TYPE, _TRUNCATE, _MESSAGE = (ord(c) for c in "RYTM")
Masks = dict[int, npt.NDArray[np.bool_]]
"""By oid: per transaction, whether the table's snapshot holds it."""


class _Shape(NamedTuple):
    """A description that differs from the one at hand, or a row under one that differs from the plan."""

    frame: int
    """Where; what this belongs to ends before it."""
    table: CapturedTable
    relation: Relation | None
    """The new description; None where a row shows that the one at hand is not the planned one."""
    changes: tuple[RelationChange, ...]
    broken: bool
    halts: bool


class Decoder:
    """Decodes the frames of one session, in order; remembers tables' descriptions and the open transaction.

    - ``decode`` takes frames that ``CutRule.cut`` has chosen and says of how many its result is made: fewer, where a carried
      table's shape changes among them. The next call begins behind these.
    - A result with ``halt`` ends at such a change. The caller publishes it and goes on: with ``carry`` and a new plan of the
      table, or without, and then a broken table is left out until it is carried anew.
    - While a table's snapshot filter is active, the stream is behind the table's plan: its shape counts from the first change
      that is carried.
    - A description that lacks columns which have come while the run streamed counts as the planned one up to where they came.
    - Transactions up to ``tail``, the commit LSN that the lane holds already, are left out.
    """

    def __init__(self, tables: Iterable[CapturedTable], tail: int = 0) -> None:
        self._tables = {t.relation.oid: t for t in tables}
        self._known: dict[int, Relation] = {}
        """How this session describes tables."""
        self._differs: set[int] = set()
        """Oids of carried tables that the session describes otherwise than the plan; looked at when a row is carried."""
        self._left_out: set[int] = set()
        self._types: dict[int, str] = {}
        self._open: Open | None = None
        self._tail = tail

    @property
    def inside(self) -> bool:
        """A transaction has begun and not ended."""
        return self._open is not None

    @property
    def left_out(self) -> frozenset[int]:
        """Tables (plan numbers) whose changes are skipped."""
        return frozenset(self._left_out)

    def carry(self, table: CapturedTable) -> None:
        """Carry the table like this from here on: added, planned anew after its shape changed, or with another filter."""
        self._tables = {oid: t for oid, t in self._tables.items() if t.number != table.number}
        self._tables[table.relation.oid] = table
        self._left_out.discard(table.number)
        known = self._known.get(table.relation.oid)
        self._differs.discard(table.relation.oid)
        if known is not None and differences(table.relation, known, self._types):
            self._differs.add(table.relation.oid)

    def leave_out(self, table: int) -> None:
        """Skip the table's changes until it is carried anew."""
        self._left_out.add(table)

    def decode(self, frames: Frames) -> Segment:
        """A segment of the first of these frames. Raises TerminalError (``capture.protocol``, ``source.encoding``)."""
        stream = Stream(frames.data)
        every = Transactions.of_frames(stream, frames, self._open)
        held = {
            oid: t.filter.held(every.xid, every.lsn)
            for oid, t in self._tables.items()
            if t.filter is not None and not t.filter.retired
        }
        count, shape = self._until_change(frames, stream, every, held)
        some = every.first(count)
        kept = some.lsn > np.uint64(self._tail)
        tables = self._rows(stream, frames.starts[:count], some, kept, held)
        controls = self._controls(frames.data, frames.starts[:count], some, kept, held)
        halt = None if shape is None else self._adopt(shape, some, count)
        if halt is not None and kept[-1:].all():
            controls.append(halt)
        segment = segment_of(stream, frames.starts[:count], some, kept, self._open, tables, controls, halt)
        self._passed(some, segment)
        return segment

    def _passed(self, some: Transactions, segment: Segment) -> None:
        for table in self._tables.values():
            if table.filter is not None:
                table.filter.passed(some.lsn)
        if segment.final:
            self._open = None
        elif len(some.lsn):
            context = some.context_of(len(some.lsn) - 1, 0)
            self._open = Open(context.xid, context.lsn, context.time, segment.piece + 1)

    def _until_change(
        self, frames: Frames, stream: Stream, every: Transactions, held: Masks
    ) -> tuple[int, _Shape | None]:
        """Frames before a table's shape changes, cut back to whole transactions where there are some before it; and the change."""
        found = self._described(frames, every)
        row = self._row_in_other_shape(stream, frames.starts, every, held)
        if row is not None and (found is None or row.frame < found.frame):
            found = row
        if found is None:
            return len(frames.starts), None
        whole = np.flatnonzero(every.closing[: found.frame])
        if len(whole):
            return int(whole[-1]) + 1, None
        return found.frame + (found.relation is not None), found

    def described(self, number: int) -> Relation | None:
        """How the session describes a table of the plan; None before it has."""
        return next((self._known.get(oid) for oid, t in self._tables.items() if t.number == number), None)

    def _described(self, frames: Frames, every: Transactions) -> _Shape | None:
        """Take in descriptions up to the first that changes what is known of a carried table."""
        tags = every.tags
        for frame in np.flatnonzero((tags == _RELATION) | (tags == _TYPE)).tolist():
            at = int(frames.starts[frame]) + _BODY
            if tags[frame] == _TYPE:
                schema, after = text_at(frames.data, at + 4)
                name, _ = text_at(frames.data, after)
                self._types[int.from_bytes(frames.data[at : at + 4], "big")] = f"{schema or 'pg_catalog'}.{name}"
                continue
            relation = parse_relation(frames.data, at)
            known = self._known.get(relation.oid)
            if relation == known:
                continue
            shape = self._shape(frame, known, relation, int(every.lsn[every.of[frame]]))
            if shape is not None:
                return shape
            self._known[relation.oid] = relation
        return None

    def _shape(self, frame: int, known: Relation | None, now: Relation, lsn: int) -> _Shape | None:
        table = self._tables.get(now.oid)
        if table is None:
            same = [t for t in self._tables.values() if _name(t.relation) == _name(now)]
            if not same or same[0].number in self._left_out:
                return None
            return _Shape(frame, same[0], now, (TableReplaced(oid=now.oid),), True, True)
        if table.number in self._left_out:
            return None
        active = table.filter is not None and not table.filter.retired
        before = table.relation if known is None or active or now.oid in self._differs else known
        if table.lacks(now, lsn) or (known is not None and table.lacks(known, lsn) and now == table.relation):
            return None if known is None else _Shape(frame, table, now, (), False, False)
        changes = differences(before, now, self._types)
        if not changes and known is None:
            return None
        if not changes and not active and now.oid not in self._differs:
            return None
        return _Shape(
            frame, table, now, changes, breaks(changes, table.layout.names, before, now), bool(changes) and not active
        )

    def _row_in_other_shape(self, stream: Stream, at: Ints, every: Transactions, held: Masks) -> _Shape | None:
        """The first row that is carried although the session describes its table otherwise than the plan."""
        first: _Shape | None = None
        for oid in self._differs:
            table, known = self._tables.get(oid), self._known.get(oid)
            if table is None or known is None or table.number in self._left_out:
                continue
            mine = (OPERATION[every.tags] != NO_ROW) & (stream.words[at + _BODY] == oid)
            mine &= (every.lsn > np.uint64(self._tail))[every.of]
            if oid in held:
                mine &= ~held[oid][every.of]
            rows = np.flatnonzero(mine)
            if len(rows) and (first is None or rows[0] < first.frame):
                changes = differences(table.relation, known, self._types)
                broken = breaks(changes, table.layout.names, table.relation, known)
                first = _Shape(int(rows[0]), table, None, changes, broken, True)
        return first

    def _adopt(self, shape: _Shape, some: Transactions, count: int) -> RelationChanged | None:
        """Know the new description; leave the table out where it is broken."""
        oid = shape.table.relation.oid
        if shape.relation is not None:
            self._known[shape.relation.oid] = shape.relation
        if not shape.halts:
            (self._differs.add if shape.changes else self._differs.discard)(oid)
            return None
        self._differs.discard(oid)
        if shape.broken:
            self._left_out.add(shape.table.number)
        context = some.context_of(len(some.lsn) - 1, count)
        return RelationChanged(
            table=shape.table.number, changes=shape.changes, broken=shape.broken, **context._asdict()
        )

    def _rows(
        self, stream: Stream, at: Ints, some: Transactions, kept: npt.NDArray[np.bool_], held: Masks
    ) -> list[tuple[int, ChangeRows]]:
        """Rows by table, in the order of plan numbers."""
        rows = np.flatnonzero((OPERATION[some.tags] != NO_ROW) & kept[some.of])
        oids = stream.words[at[rows] + _BODY].astype(np.int64)
        order = np.argsort(oids, kind="stable")
        groups = np.split(rows[order], np.flatnonzero(np.diff(oids[order])) + 1) if len(rows) else []
        made = []
        for group in groups:
            oid = int(stream.words[at[group[0]] + _BODY])
            table, relation = self._tables.get(oid), self._known.get(oid)
            if table is None or table.number in self._left_out:
                continue
            if oid in held:
                group = group[~held[oid][some.of[group]]]
            if not len(group):
                continue
            if relation is None:
                raise protocol_error(f"rows of {_name(table.relation)} came before its description")
            made.append((table.number, table_rows(stream, at[group], group, some, table, relation)))
        return sorted(made, key=lambda one: one[0])

    def _controls(
        self, data: bytearray, at: Ints, some: Transactions, kept: npt.NDArray[np.bool_], held: Masks
    ) -> list[Control]:
        found: Sequence[int] = np.flatnonzero(
            ((some.tags == _TRUNCATE) | (some.tags == _MESSAGE)) & kept[some.of]
        ).tolist()
        made: list[Control] = []
        for frame in found:
            entry: Control | None
            if some.tags[frame] == _MESSAGE:
                entry = message(data, int(at[frame]) + _BODY, some.context(frame))
            else:
                numbers = {
                    oid: t.number
                    for oid, t in self._tables.items()
                    if t.number not in self._left_out and not (oid in held and held[oid][some.of[frame]])
                }
                entry = truncated(data, int(at[frame]) + _BODY, numbers, some.context(frame))
            if entry is not None:
                made.append(entry)
        return made


def _name(relation: Relation) -> str:
    return f"{relation.schema}.{relation.name}"
