"""Segments to records: chained by commit LSN, encoded, encrypted under their headers. Pure but for the cipher's nonce."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from tailrace_reader.capture.segment import Segment
from tailrace_shared.batch import associated_data
from tailrace_shared.changes import ChangeHead, encode_body, headers_of_change
from tailrace_shared.envelope import DataCipher


@dataclass(frozen=True)
class Lane:
    """What every record of a lane says alike."""

    run: str
    lane: int
    system: str
    timeline: int
    plan: str
    key: str


class Tail(NamedTuple):
    """How far a lane goes: what its last whole record says."""

    sequence: int = 0
    """Of the next record."""
    last: int = 0
    end: int = 0


class Record(NamedTuple):
    """A message for the lane's partition."""

    head: ChangeHead
    headers: list[tuple[str, bytes]]
    value: bytearray


class Recorder:
    """Makes the records of one lane.

    - ``previous`` of a record is ``last`` of the one before it; the pieces of a transaction share theirs.
    - ``end`` never falls, and a record that completes nothing carries the one before.
    """

    def __init__(self, lane: Lane, cipher: DataCipher, tail: Tail) -> None:
        self._lane = lane
        self._cipher = cipher
        self.tail = tail
        """Where the lane goes with all records made so far, an unfinished transaction left out."""

    def change_plan(self, digest: str) -> None:
        """Name another plan from the next record on."""
        self._lane = replace(self._lane, plan=digest)

    def record(self, segment: Segment) -> Record | None:
        """The segment's record; None where the lane has all of it."""
        if segment.empty:
            return None
        end = max(self.tail.end, segment.end)
        made = self._seal(segment, segment.last, end)
        self._advance(segment.last, end, whole=segment.final)
        return made

    def position(self, lsn: int) -> Record | None:
        """A record without content: WAL below ``lsn`` holds nothing more for this lane. None when that is no news.

        It lets an idle database move its slot, and a source shut down: a walsender waits for its last position. A commit may
        begin at ``lsn`` itself, so the lane goes up to the byte before.
        """
        if lsn <= self.tail.end or lsn - 1 <= self.tail.last:
            return None
        nothing = Segment(0, (), (), 0, lsn - 1, lsn, 0, True)
        made = self._seal(nothing, lsn - 1, lsn)
        self._advance(lsn - 1, lsn, whole=True)
        return made

    def _advance(self, last: int, end: int, *, whole: bool) -> None:
        self.tail = (
            Tail(self.tail.sequence + 1, last, end) if whole else self.tail._replace(sequence=self.tail.sequence + 1)
        )

    def _seal(self, segment: Segment, last: int, end: int) -> Record:
        body = encode_body(segment.controls, [rows for _, rows in segment.tables])
        lane = self._lane
        head = ChangeHead(
            run=lane.run,
            kind="changes",
            lane=lane.lane,
            sequence=self.tail.sequence,
            system=lane.system,
            timeline=lane.timeline,
            previous=self.tail.last,
            last=last,
            end=end if segment.final else self.tail.end,
            piece=segment.piece,
            final=segment.final,
            transactions=segment.transactions,
            first_xid=segment.first_xid,
            last_xid=segment.last_xid,
            changes=segment.changes,
            bytes=body.bytes,
            first_time=segment.first_time,
            last_time=segment.last_time,
            tables=tuple(number for number, _ in segment.tables),
            schema=body.schema,
            plan=lane.plan,
            key=lane.key,
        )
        headers = headers_of_change(head)
        return Record(head, headers, self._cipher.seal(body.data, associated_data(headers)))
