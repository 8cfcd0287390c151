"""What a lane does with records that come in order, twice, cut otherwise, or not at all."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tailrace_shared.changes.head import ChangeHead
from tailrace_writer.lane.position import Again, Apply, Gap, Position, Skip, judge, lsn_of, lsn_text
from tailrace_writer.lane.seen import Seen

HELD = Position("s", 1, 100)


def head(previous: int, last: int, *, piece: int = 0, final: bool = True, **given: object) -> ChangeHead:
    made = ChangeHead(
        run="r", kind="masked-changes", lane=0, sequence=0, system="s", timeline=1, previous=previous, last=last, end=last,
        piece=piece, final=final, transactions=1, first_xid=1, last_xid=1, changes=1, bytes=1, first_time=0, last_time=0,
        tables=(0,), schema="", plan="", key="",
    )  # fmt: skip
    return made._replace(**given)  # type: ignore[arg-type]


def test_a_record_that_follows_is_applied() -> None:
    assert judge(HELD, head(100, 120)) == Apply(100, Position("s", 1, 120))


def test_a_record_that_is_there_is_skipped() -> None:
    assert judge(HELD, head(80, 100)) == Skip()
    assert judge(HELD, head(60, 70)) == Skip()


def test_of_a_record_that_another_capture_has_cut_otherwise_only_the_rest_is_applied() -> None:
    assert judge(HELD, head(90, 130)) == Apply(100, Position("s", 1, 130))


def test_a_record_behind_a_hole_is_a_gap() -> None:
    verdict = judge(HELD, head(101, 120))
    assert isinstance(verdict, Gap)
    assert verdict.code == "gap"


def test_another_server_is_a_gap_and_an_older_timeline_is_history() -> None:
    assert isinstance(judge(HELD, head(100, 120, system="other")), Gap)
    promoted = Position("s", 2, 100)
    assert judge(promoted, head(100, 120)) == Skip()
    assert judge(HELD, head(100, 120, timeline=2)) == Apply(100, Position("s", 2, 120))
    assert isinstance(judge(HELD, head(90, 120, timeline=2)), Gap)


def test_pieces_of_a_transaction_follow_each_other_and_the_last_one_moves_the_position() -> None:
    position = HELD
    for piece in range(3):
        verdict = judge(position, head(100, 200, piece=piece, final=piece == 2, sequence=7 + piece))
        assert isinstance(verdict, Apply)
        assert verdict.above == 100
        position = verdict.after
        assert position.lsn == (200 if piece == 2 else 100)
    assert position == Position("s", 1, 200)


def test_pieces_that_come_twice_or_begin_anew_are_told_apart() -> None:
    under_way = Position("s", 1, 100, (200, 2, 8))
    assert judge(under_way, head(100, 200, piece=1, final=False, sequence=8)) == Skip()
    assert judge(under_way, head(100, 200, piece=0, final=False, sequence=9)) == Again()
    assert isinstance(judge(under_way, head(100, 200, piece=3, final=False, sequence=10)), Gap)
    assert judge(HELD, head(100, 200, piece=2, sequence=9)) == Skip()


def test_a_former_capture_that_wakes_up_says_nothing_new_among_the_pieces_of_its_successor() -> None:
    successor = 1 << 32
    under_way = Position("s", 1, 100, (200, 2, successor + 1))
    for piece in range(5):
        assert judge(under_way, head(100, 200, piece=piece, final=piece == 4, sequence=7 + piece)) == Skip()
    assert judge(under_way, head(200, 300, piece=0, final=False, sequence=12)) == Skip()
    assert isinstance(judge(under_way, head(100, 200, piece=2, final=False, sequence=successor + 2)), Apply)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_captures_die_and_generators_repeat_every_transaction_is_applied_once(seed: int) -> None:
    """Captures cut the same transactions anew from where the slot or the tail stands; records are delivered again in order."""
    dice = random.Random(seed)
    commits = list(range(10, 2000, 10))
    log: list[ChangeHead] = []
    sequence, tail = 0, 0
    while tail < commits[-1]:
        for _ in range(dice.randint(1, 6)):  # one capture's life
            rest = [c for c in commits if c > tail]
            if not rest:
                break
            last = rest[min(len(rest), dice.randint(1, 5)) - 1]
            log.append(head(tail, last, sequence=(sequence := sequence + 1)))
            tail = last
        if dice.random() < 0.4:  # a zombie that did not see the newest records
            tail = max(0, tail - 10 * dice.randint(0, 4))
            sequence += 1
    position, applied, at = Position("s", 1, 0), [], 0
    while at < len(log):
        record = log[at]
        verdict = judge(position, record)
        assert not isinstance(verdict, Gap | Again)
        if isinstance(verdict, Apply):
            applied += [c for c in commits if max(verdict.above, record.previous) < c <= record.last]
            position = verdict.after
        at = max(0, at - dice.randint(1, 4)) if dice.random() < 0.2 else at + 1  # delivered again from an older offset
    assert applied == commits


def test_lsns_are_read_and_written_as_postgresql_does() -> None:
    assert lsn_text(lsn_of("16/B374D848")) == "16/B374D848"
    assert lsn_of("1/0") == 1 << 32


def test_what_a_load_has_seen_is_not_applied_again() -> None:
    seen = Seen.of("95:100:97,99", until=500)
    xids = np.array([90, 96, 97, 98, 99, 100, 101, 96], np.uint32)
    lsns = np.array([10, 20, 30, 40, 50, 60, 70, 500], np.uint64)
    assert seen.mask(xids, lsns).tolist() == [True, True, False, True, False, False, False, False]


def test_a_snapshot_at_the_end_of_an_epoch_compares_by_distance() -> None:
    whole = 3 << 32
    seen = Seen.of(f"{whole - 5}:{whole + 3}:{whole + 1}", until=500)
    xids = np.array([2**32 - 6, 2**32 - 1, 0, 1, 2, 3, 4], np.uint32)
    assert seen.mask(xids, np.full(7, 1, np.uint64)).tolist() == [True, True, True, False, True, False, False]
    assert not seen.saw(2**32 - 6, 500)
