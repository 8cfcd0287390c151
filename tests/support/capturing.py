"""A capture without Kafka: records are sealed, opened again and applied to a model of the tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import asyncpg

from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.publication import relations_of
from tailrace_reader.capture.record import Lane, Record, Recorder, Tail
from tailrace_reader.capture.relations import Relation
from tailrace_reader.capture.stream import ChangeStream
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.layout import Layout
from tailrace_shared.batch import associated_data
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.changes import (
    DELETE,
    INSERT,
    Body,
    ChangeHead,
    ChangeRows,
    Control,
    RelationChanged,
    Truncated,
    change_head_of,
    decode_body,
)
from tailrace_shared.envelope import DataCipher
from tailrace_shared.types import ColumnType, arrow_type

KEY = bytes(range(32))
LANE = Lane(run="01J9Z3N5X0000000000000000A", lane=0, system="7", timeline=1, plan="p" * 64, key="k1")
DEADLINE_S = 30.0
BASES = {
    16: "bool", 17: "bytea", 20: "int8", 21: "int2", 23: "int4", 25: "text", 114: "json", 700: "float4", 701: "float8",
    1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz", 1186: "interval",
    1700: "numeric", 2950: "uuid", 3802: "jsonb",
}  # fmt: skip
"""By oid; everything else travels as text whatever it is called."""


def layout_of(relation: Relation) -> Layout:
    """The layout that a plan would give the table."""
    types = []
    for column in relation.columns:
        base = BASES.get(column.type_oid, "other")
        digits = {}
        if base == "numeric" and column.typmod >= 0:
            digits = {"precision": column.typmod - 4 >> 16, "scale": column.typmod - 4 & 0x7FF}
        types.append(ColumnType(name=base, base=base, family="other", **digits))
    return Layout(
        tuple(c.name for c in relation.columns), tuple(t.wire for t in types), tuple(arrow_type(t) for t in types)
    )


def table_name(text: str) -> TableName:
    return TableName(schema_name=text.split(".")[0], name=text.split(".")[1])


async def captured(connection: asyncpg.Connection, *tables: str, **options: object) -> list[CapturedTable]:
    """The tables as they are now, numbered in this order."""
    names = [table_name(t) for t in tables]
    relations = await relations_of(connection, names)
    return [CapturedTable(i, layout_of(relations[n]), relations[n], **options) for i, n in enumerate(names)]  # type: ignore[arg-type]


def opened(record: Record) -> tuple[ChangeHead, Body]:
    """What a generator makes of the message."""
    head = change_head_of(record.headers)
    assert head == record.head
    return head, decode_body(DataCipher(KEY).open(record.value, associated_data(record.headers)), head.tables)


class Model:
    """Tables as multisets of rows, by applying changes one by one in the order of the lane."""

    def __init__(self, tables: Iterable[CapturedTable]) -> None:
        self.names = {t.number: t.layout.names for t in tables}
        self.rows: dict[int, list[tuple[object, ...]]] = {number: [] for number in self.names}
        self.previous: int | None = None
        self._pieces: list[tuple[ChangeHead, Body]] = []

    def apply(self, head: ChangeHead, body: Body) -> None:
        """One record; pieces wait for their last, as at the destination."""
        if self.previous is not None:
            assert head.previous == self.previous, "a gap or a repetition"
        if head.piece == 0:
            self._pieces.clear()
        assert head.piece == len(self._pieces)
        self._pieces.append((head, body))
        if head.final:
            for _, piece in self._pieces:
                for _, number, entry, at in sorted(_steps(piece), key=lambda step: step[0]):
                    self._step(number, entry, at)
            self._pieces.clear()
            self.previous = head.last

    def as_counted(self, number: int) -> Counter[tuple[object, ...]]:
        return Counter(self.rows[number])

    def _step(self, number: int, entry: ChangeRows | Control, at: int) -> None:
        if isinstance(entry, Truncated):
            for table in entry.tables:
                self.rows[table].clear()
        if not isinstance(entry, ChangeRows):
            return
        rows = self.rows[number]
        new = tuple(column[at].as_py() for column in entry.columns)
        if entry.op[at] == INSERT:
            rows.append(new)
            return
        places = list(entry.old)
        wanted = [entry.old[i][at].as_py() for i in places] if entry.has_old[at] else [new[i] for i in places]
        found = next(i for i, row in enumerate(rows) if [row[c] for c in places] == wanted)
        if entry.op[at] == DELETE:
            del rows[found]
            return
        gone = entry.gone[at] if entry.gone is not None else [False] * len(new)
        rows[found] = tuple(rows[found][c] if gone[c] else new[c] for c in range(len(new)))


def _steps(body: Body) -> Iterator[tuple[int, int, ChangeRows | Control, int]]:
    for number, rows in body.tables:
        yield from ((int(seq), number, rows, at) for at, seq in enumerate(rows.seq))
    yield from ((entry.seq, -1, entry, 0) for entry in body.controls)


@dataclass
class Capturing:
    """The loop that a capture runs, with records in a list."""

    stream: ChangeStream
    decoder: Decoder
    recorder: Recorder
    records: list[Record] = field(default_factory=list)
    halts: list[RelationChanged] = field(default_factory=list)

    @staticmethod
    def of(stream: ChangeStream, tables: Sequence[CapturedTable], tail: Tail | None = None) -> Capturing:
        tail = tail or Tail()
        return Capturing(stream, Decoder(tables, tail.last), Recorder(LANE, DataCipher(KEY), tail))

    async def step(self, timeout_s: float = 0.2) -> Record | None:
        """At most one record."""
        frames = await self.stream.cut(self.decoder.inside, timeout_s)
        if frames is None:
            return None
        segment = self.decoder.decode(frames)
        self.stream.drop(segment.frames)
        if segment.halt is not None:
            self.halts.append(segment.halt)
        made = self.recorder.record(segment)
        if made is not None:
            self.records.append(made)
        return made

    async def until(self, lsn: int) -> None:
        """Until the lane goes that far."""
        deadline = time.monotonic() + DEADLINE_S
        while self.recorder.tail.end < lsn:
            assert time.monotonic() < deadline, "the stream did not come so far"
            await self.step()
            idle = self.stream.idle_lsn
            if idle >= lsn and not self.decoder.inside:
                made = self.recorder.position(idle)
                if made is not None:
                    self.records.append(made)
            else:
                self.stream.report(reply=True)

    def bodies(self) -> list[tuple[ChangeHead, Body]]:
        return [opened(record) for record in self.records]
