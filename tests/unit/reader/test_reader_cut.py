"""Cutting: batches and ranges end by a pure function of the rows' weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_reader.cut import Closed, CutRule, Cutter, RowTooLarge


def cut(rule: CutRule, pieces: list[list[int]]) -> tuple[list[Closed], int, int, bool]:
    cutter = Cutter(rule)
    closed = [batch for piece in pieces for batch in cutter.feed(np.array(piece, np.int64))]
    last = cutter.finish()
    return closed + ([last] if last else []), cutter.taken, cutter.bytes, cutter.ended


def plainly(rule: CutRule, weights: list[int]) -> tuple[list[Closed], int, int, bool]:
    """The same, row by row, as the words say it."""
    closed: list[Closed] = []
    rows = bytes_ = taken = total = 0
    ended = False
    for weight in weights:
        if taken and total + weight > rule.range_bytes:
            ended = True
            break
        if rows and (rows + 1 > rule.rows or bytes_ + weight > rule.batch_bytes):
            closed.append(Closed(rows, bytes_))
            rows = bytes_ = 0
        rows, bytes_, taken, total = rows + 1, bytes_ + weight, taken + 1, total + weight
    if rows:
        closed.append(Closed(rows, bytes_))
    return closed, taken, total, ended


weights = st.lists(st.one_of(st.integers(0, 30), st.integers(0, 300)), max_size=80)
rules = st.builds(CutRule, st.integers(1, 12), st.integers(1, 200), st.integers(1, 1500), st.just(1000))


@settings(max_examples=400, deadline=None)
@given(rules, weights, st.lists(st.integers(0, 80), max_size=20))
def test_any_split_of_the_rows_gives_the_batches_that_row_by_row_cutting_gives(
    rule: CutRule, rows: list[int], cuts: list[int]
) -> None:
    at = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    pieces = [rows[a:b] for a, b in itertools.pairwise(at)]
    expected = plainly(rule, rows)
    assert cut(rule, pieces) == expected
    assert cut(rule, [rows]) == expected
    assert cut(rule, [[w] for w in rows]) == expected


@settings(max_examples=200, deadline=None)
@given(rules, weights)
def test_a_batch_of_several_rows_never_exceeds_its_rows_or_bytes(rule: CutRule, rows: list[int]) -> None:
    for batch in cut(rule, [rows])[0]:
        assert batch.rows <= rule.rows
        assert batch.rows == 1 or batch.bytes <= rule.batch_bytes


def test_a_range_takes_at_least_one_row_however_large() -> None:
    rule = CutRule(rows=10, batch_bytes=10, range_bytes=20, row_bytes=100)
    assert cut(rule, [[90, 1]]) == ([Closed(1, 90)], 1, 90, True)
    assert cut(rule, [[90]]) == ([Closed(1, 90)], 1, 90, False)


def test_a_row_above_the_limit_is_named_by_its_number_in_the_range() -> None:
    cutter = Cutter(CutRule(rows=10, batch_bytes=50, range_bytes=1000, row_bytes=100))
    cutter.feed(np.array([1, 2, 3]))
    with pytest.raises(RowTooLarge) as error:
        cutter.feed(np.array([1, 101]))
    assert (error.value.row, error.value.bytes) == (5, 101)


def test_a_row_above_the_limit_that_belongs_to_the_next_range_does_not_stop_this_one() -> None:
    rule = CutRule(rows=10, batch_bytes=50, range_bytes=60, row_bytes=100)
    assert cut(rule, [[1, 101]]) == ([Closed(1, 1)], 1, 1, True)
