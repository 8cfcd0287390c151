"""Where a capture goes on, by the newest records of its lane."""

from __future__ import annotations

from tailrace_reader.capture.held import Held
from tailrace_reader.capture.record import Tail
from tailrace_reader.capture.tail import GENERATION, Kept, end_of
from tailrace_shared.changes.head import ChangeHead


def record(
    previous: int, last: int, sequence: int, *, piece: int = 0, final: bool = True, size: int = 10
) -> tuple[ChangeHead, int]:
    head = ChangeHead(
        run="r", kind="changes", lane=0, sequence=sequence, system="s", timeline=1, previous=previous, last=last,
        end=last + 5 if final else previous + 5, piece=piece, final=final, transactions=1, first_xid=1, last_xid=1, changes=1,
        bytes=1, first_time=3, last_time=3, tables=(0,), schema="", plan="p", key="",
    )  # fmt: skip
    return head, size


def test_a_lane_without_a_record_ends_where_the_slot_begins() -> None:
    assert end_of([], 0, 40).tail == Tail(0, 40, 40)


def test_the_next_capture_numbers_its_records_apart_from_all_before() -> None:
    first = end_of([record(0, 10, 3)], 0, 0).tail
    assert first == Tail(GENERATION, 10, 15)
    assert end_of([record(0, 10, 3), record(10, 20, GENERATION + 7)], 0, 0).tail.sequence == 2 * GENERATION


def test_what_a_former_capture_has_said_late_does_not_take_the_lane_back() -> None:
    late = [record(0, 10, 3), record(10, 20, GENERATION), record(20, 30, GENERATION + 1), record(10, 20, 4)]
    assert end_of(late, 0, 0).tail == Tail(2 * GENERATION, 30, 35)


def test_an_unfinished_transaction_is_captured_from_its_beginning() -> None:
    pieces = [record(0, 10, 0), record(10, 30, 1, final=False), record(10, 30, 2, piece=1, final=False)]
    assert end_of(pieces, 0, 0).tail[1:] == (10, 15)


def test_what_lies_before_the_records_that_were_looked_at_counts_as_much_as_they_do() -> None:
    kept = end_of([record(0, 10, 1, size=100), record(10, 20, 2, size=300)], 5, 0).kept
    assert kept == (Kept(10, 1000, 0, 0, None), Kept(10, 100, 3, 0, (0,)), Kept(20, 300, 3, 10, (0,)))


def test_a_budget_does_not_wait_for_pieces_of_a_transaction_that_is_captured_anew() -> None:
    """They are as much as the budget, and what completes the transaction would come behind them."""
    pieces = [record(10, 90, 1 + n, piece=n, final=False, size=100) for n in range(5)]
    end = end_of([record(0, 10, 0), *pieces], 0, 0)
    held = Held(end.tail.last, began=0.0)
    for kept in end.kept:
        held.add(kept)
    assert held.bytes == 510
    held.applied(end.tail.last)
    assert held.bytes == 0


def test_nor_for_those_before_the_records_that_were_looked_at() -> None:
    end = end_of([record(10, 90, n, piece=n, final=False) for n in range(40, 50)], 40, 0)
    assert {kept.last for kept in end.kept} == {end.tail.last}
