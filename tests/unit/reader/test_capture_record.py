"""Records of a lane: chained, sealed under their headers, nothing twice."""

from __future__ import annotations

import pytest

from support.capturing import KEY, LANE, layout_of, opened
from support.pgoutput import Server, relation, rest
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.frames import Frames
from tailrace_reader.capture.record import Record, Recorder, Tail
from tailrace_reader.capture.tables import CapturedTable
from tailrace_shared.batch import associated_data
from tailrace_shared.changes import Heartbeat
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TerminalError

T = relation(id="int4", note="text")


def recorder(tail: Tail | None = None) -> Recorder:
    return Recorder(LANE, DataCipher(KEY), tail or Tail())


def table() -> CapturedTable:
    return CapturedTable(0, layout_of(T), T)


def lane(frames: Frames, sizes: list[int], tail: Tail | None = None) -> list[Record]:
    decoder, made, records = Decoder([table()], (tail or Tail()).last), recorder(tail), []
    for size in sizes:
        segment = decoder.decode(frames.first(size))
        frames = rest(frames, size)
        record = made.record(segment)
        records += [record] if record else []
    return records


def three() -> tuple[Server, list[int]]:
    s, lsns = Server(), []
    for i in range(3):
        lsns.append(s.begin())
        if not i:
            s.relation(T)
        s.insert(T, i, "x")
        s.commit()
    return s, lsns


def test_records_form_a_chain_of_commit_positions() -> None:
    s, lsns = three()
    heads = [r.head for r in lane(s.frames(), [4, 6])]
    assert [(h.sequence, h.previous, h.last, h.transactions) for h in heads] == [
        (0, 0, lsns[0], 1),
        (1, lsns[0], lsns[2], 2),
    ]
    assert heads[1].end == lsns[2] + 0x30
    assert all(h.final and h.piece == 0 for h in heads)


def test_pieces_share_their_place_and_only_the_last_one_may_be_confirmed() -> None:
    s = Server()
    lsn = s.begin()
    s.relation(T)
    for i in range(4):
        s.insert(T, i, "x")
    end = s.commit()
    heads = [r.head for r in lane(s.frames(), [3, 2, 2], Tail(7, 5, 6))]
    assert [(h.sequence, h.previous, h.last, h.piece, h.final, h.end) for h in heads] == [
        (7, 5, lsn, 0, False, 6), (8, 5, lsn, 1, False, 6), (9, 5, lsn, 2, True, end),
    ]  # fmt: skip


def test_what_the_lane_holds_makes_no_record_and_the_chain_goes_on_behind_it() -> None:
    s, lsns = three()
    (record,) = lane(s.frames(), [4, 6], Tail(9, lsns[0], lsns[0] + 0x30))
    head, body = opened(record)
    assert (head.sequence, head.previous, head.last, head.changes) == (9, lsns[0], lsns[2], 2)
    assert [rows.columns[0].to_pylist() for _, rows in body.tables] == [[1, 2]]


def test_an_idle_position_moves_the_lane_without_hiding_a_commit_that_begins_there() -> None:
    made = recorder(Tail(3, 100, 130))
    record = made.position(500)
    assert record is not None
    assert (record.head.previous, record.head.last, record.head.end, record.head.transactions) == (100, 499, 500, 0)
    assert made.position(500) is None
    assert made.tail == Tail(4, 499, 500)
    assert opened(record)[1].tables == ()


def test_a_record_opens_only_under_its_own_headers() -> None:
    s, _ = three()
    record = lane(s.frames(), [10])[0]
    other = [(name, b"7" if name == "previous" else value) for name, value in record.headers]
    with pytest.raises(TerminalError, match="does not open"):
        DataCipher(KEY).open(record.value, associated_data(other))
    assert b"x" * 8 not in record.value


def test_control_entries_come_back_in_their_place() -> None:
    s = Server()
    s.begin()
    s.relation(T)
    s.insert(T, 1, "x")
    s.message("tailrace.heartbeat", b"17")
    s.commit()
    _, body = opened(lane(s.frames(), [5])[0])
    assert body.controls == (Heartbeat(seq=3, xid=701, lsn=s.lsn, time=s.time_us, token="17"),)
    assert body.tables[0][1].seq.tolist() == [2]
