"""Frames and where records end, whatever pieces the network brings."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.pgoutput import Server, relation, rest
from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.frames import FrameBuffer, Frames, FrameTooLarge

T = relation(id="int4", note="text")


def feed(buffer: FrameBuffer, data: bytes) -> None:
    at = 0
    while at < len(data):
        room = buffer.room()
        size = min(len(room), len(data) - at)
        room[:size] = data[at : at + size]
        buffer.filled(size)
        at += size


def messages(frames: Frames) -> list[bytes]:
    ends = [*frames.starts.tolist()[1:], frames.end]
    return [bytes(frames.data[a:b]) for a, b in zip(frames.starts.tolist(), ends, strict=True)]


def written(transactions: list[int], size: int = 10) -> Server:
    s = Server()
    for number in transactions:
        s.begin()
        for i in range(number):
            s.insert(T, i, "x" * size)
        s.commit()
    return s


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 400), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_frames_are_the_same_in_any_pieces_and_with_drops_between(
    transactions: list[int], piece: int, chance: random.Random
) -> None:
    data = bytes(written(transactions).data)
    whole = FrameBuffer(1 << 20)
    feed(whole, data)
    expected = messages(whole.frames())
    buffer, seen = FrameBuffer(1 << 20), []
    for at in range(0, len(data), piece):
        feed(buffer, data[at : at + piece])
        if len(buffer) and chance.random() < 0.4:
            some = buffer.frames().first(chance.randrange(1, len(buffer) + 1))
            seen += messages(some)
            buffer.drop(len(some.starts))
    assert seen + (messages(buffer.frames()) if len(buffer) else []) == expected
    assert b"".join(expected) == data


def test_views_stay_as_they_were_while_more_comes_in() -> None:
    buffer = FrameBuffer(64 << 20)
    feed(buffer, bytes(written([3]).data))
    before = buffer.frames()
    kept = messages(before)
    feed(buffer, bytes(written([2], size=8 << 20).data))
    assert messages(before) == kept
    assert buffer.held == sum(map(len, messages(buffer.frames())))


def test_a_frame_above_the_limit_is_refused_before_it_is_read() -> None:
    buffer = FrameBuffer(1000)
    with pytest.raises(FrameTooLarge):
        feed(buffer, bytes(written([1], size=5000).data)[:300])


def test_keepalives_and_other_messages_are_told_apart() -> None:
    s = written([1])
    s.keepalive(0x1234, reply=True)
    s.data += b"W\0\0\0\7\0\0\0" + b"c\0\0\0\4" + b"E\0\0\0\5\0"
    buffer = FrameBuffer(1 << 20)
    feed(buffer, bytes(s.data))
    assert (len(buffer), buffer.keepalive_lsn, buffer.reply_wanted) == (3, 0x1234, True)
    assert [(m.tag, len(m.body)) for m in buffer.server] == [("W", 3), ("c", 0), ("E", 1)]


RULE = CutRule(changes=8, bytes=1 << 20, delay_s=0.05)


def test_a_record_is_due_when_it_is_full_or_has_waited() -> None:
    assert not RULE.due(0, 0, 0.0, 9.0)
    assert not RULE.due(3, 100, 1.0, 1.04)
    assert RULE.due(3, 100, 1.0, 1.05)
    assert RULE.due(8, 100, 1.0, 1.0)
    assert RULE.due(1, 1 << 20, 1.0, 1.0)


@pytest.mark.parametrize(
    ("transactions", "inside", "cut"),
    [
        ([1, 1], False, 6),  # both commits fit
        ([1, 2, 4], False, 7),  # the third would not
        ([1, 1, 1], True, 3),  # a transaction in pieces ends its record
        ([9], False, 8),  # larger than a record: a piece
        ([2, 9], False, 4),  # whole transactions first
    ],
)
def test_records_end_at_the_last_commit_that_fits_or_inside_a_large_transaction(
    transactions: list[int], inside: bool, cut: int
) -> None:
    assert RULE.cut(written(transactions).frames(), inside) == cut


def test_without_a_commit_a_record_waits_until_it_is_full() -> None:
    assert RULE.cut(written([9]).frames().first(5), False) == 0
    assert RULE.cut(written([9]).frames().first(8), False) == 8


def test_a_message_outside_of_transactions_may_end_a_record() -> None:
    s = written([1])
    s.message("tailrace.marker", b"m", transactional=False, lsn=s.lsn + 8)
    s.begin()
    assert RULE.cut(s.frames(), False) == 4


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.integers(1, 12), st.integers(200, 3000))
@settings(max_examples=100, deadline=None)
def test_every_record_holds_whole_transactions_or_a_piece_of_one(
    transactions: list[int], changes: int, size: int
) -> None:
    rule = CutRule(changes=changes, bytes=size)
    frames, inside = written(transactions).frames(), False
    while len(frames.starts):
        count = rule.cut(frames, inside)
        count = count or len(frames.starts)  # only the end of the stream may leave a rest
        taken = frames.first(count)
        tags = [taken.data[a + 30] for a in taken.starts.tolist()]
        assert count <= changes
        assert taken.bytes <= size or count == 1
        if tags[-1] == ord("C"):
            assert not inside or tags.count(ord("C")) == 1
        else:
            assert ord("C") not in tags
        inside = tags[-1] != ord("C")
        frames = rest(frames, count)
    assert not inside
