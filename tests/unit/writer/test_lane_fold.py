"""Folding changes equals applying them one by one, whatever they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.lane_source import Row, Source
from tailrace_writer.lane.fold import DELETE, INSERT, Changes, Folded, fold
from tailrace_writer.lane.keys import codes_of
from tailrace_writer.lane.multiset import fold_rows

KEYS = [(n, p) for n in range(3) for p in "ab"]


def tuples(rows: pa.RecordBatch) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows.to_pylist()]


def applied(stored: dict[tuple[int, str], Row], folded: Folded) -> dict[tuple[int, str], Row]:
    """As a writer applies it: what goes, updates, what comes."""
    rows = dict(stored)
    for key in tuples(folded.deletes):
        del rows[key]
    moved = [rows.pop(key) for key in tuples(folded.origins)]
    for new, gone in zip(tuples(folded.updates), folded.updates_gone.tolist(), strict=True):
        old = rows[new[:2]]
        rows[new[:2]] = tuple(o if g else n for o, n, g in zip(old, new, gone, strict=True))
    for new, old, gone in zip(tuples(folded.moves), moved, folded.moves_gone.tolist(), strict=True):
        assert new[:2] not in rows
        rows[new[:2]] = tuple(o if g else n for o, n, g in zip(old, new, gone, strict=True))
    for new in tuples(folded.inserts):
        assert new[:2] not in rows
        rows[new[:2]] = new
    return rows


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[tuple[int, str], Row], Source]:
    value = st.sampled_from([None, "x", "y", "z"])
    stored = {k: (*k, draw(value), draw(value)) for k in draw(st.sets(st.sampled_from(KEYS)))}
    source = Source(stored)
    for _ in range(draw(st.integers(0, 25))):
        free = [k for k in KEYS if k not in source.rows]
        choice = draw(st.integers(0, 3))
        if choice == 0 and free:
            source.insert((*draw(st.sampled_from(free)), draw(value), draw(value)))
        elif choice == 1 and source.rows:
            source.delete(draw(st.sampled_from(sorted(source.rows))))
        elif source.rows:
            old = draw(st.sampled_from(sorted(source.rows)))
            new = draw(st.sampled_from([old, *(free if choice == 3 else [])]))
            source.update(old, (*new, draw(value), draw(value)), draw(st.tuples(st.booleans(), st.booleans())))
    return stored, source


@settings(max_examples=400, deadline=None)
@given(histories())
def test_folding_equals_applying_one_by_one(history: tuple[dict[tuple[int, str], Row], Source]) -> None:
    stored, source = history
    assert applied(stored, fold(source.changes(), ("id", "part"))) == source.rows


def test_what_comes_and_goes_within_the_fold_touches_nothing() -> None:
    source = Source({})
    source.insert((1, "a", "x", "y"))
    source.update((1, "a"), (2, "a", "z", None), (False, True))
    source.delete((2, "a"))
    assert fold(source.changes(), ("id", "part")).empty


def test_swapped_keys_are_moves_of_both_rows() -> None:
    source = Source({(1, "a"): (1, "a", "x", "p"), (2, "a"): (2, "a", "y", "q")})
    for old, new in ((1, 0), (2, 1), (0, 2)):
        source.update((old, "a"), (new, "a", None, None), (True, True))
    folded = fold(source.changes(), ("id", "part"))
    assert [b.num_rows for b in (folded.deletes, folded.updates, folded.inserts)] == [0, 0, 0]
    assert sorted(zip(tuples(folded.origins), [m[:2] for m in tuples(folded.moves)], strict=True)) == [
        ((1, "a"), (2, "a")), ((2, "a"), (1, "a")),
    ]  # fmt: skip
    assert folded.moves_gone.tolist() == [[False, False, True, True]] * 2


def test_a_row_that_is_inserted_twice_is_refused() -> None:
    source = Source({})
    source.insert((1, "a", None, None))
    source.insert((1, "a", None, None))
    with pytest.raises(ValueError, match="a row came where one is"):
        fold(source.changes(), ("id", "part"))


def test_key_numbers_stay_right_when_their_product_overflows() -> None:
    many = 5_000
    rng = np.random.default_rng(5)
    columns = [pa.array(rng.integers(0, many, many)) for _ in range(7)]
    codes = codes_of(pa.RecordBatch.from_arrays(columns, names=list("abcdefg")))
    twice = codes_of(pa.RecordBatch.from_arrays([pa.concat_arrays([c, c]) for c in columns], names=list("abcdefg")))
    assert len(set(codes.tolist())) == many
    assert (twice[:many] == twice[many:]).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([(1, "a"), (1, None), (2, "a")])), st.lists(st.integers(0, 2), max_size=30), st.data())
def test_rows_without_a_key_are_counted(
    start: list[tuple[int, str | None]], steps: list[int], data: st.DataObject
) -> None:
    value = st.sampled_from([(1, "a"), (1, None), (2, "a")])
    now, ops, new, old = list(start), [], [], []
    for step in steps:
        if step != INSERT and not now:
            continue
        before = data.draw(st.sampled_from(now)) if step != INSERT else (None, None)
        after = data.draw(value) if step != DELETE else (None, None)
        if step != INSERT:
            now.remove(before)
        if step != DELETE:
            now.append(after)
        ops.append(step)
        new.append(after)
        old.append(before)
    schema = pa.schema([("n", pa.int64()), ("t", pa.string())])
    rows, olds = (pa.RecordBatch.from_pylist([{"n": n, "t": t} for n, t in x], schema=schema) for x in (new, old))
    size = len(ops)
    counted = fold_rows(Changes(np.array(ops, np.int8), rows, olds, np.zeros(size, bool), np.zeros((size, 2), bool)))
    left = list(start)
    for row, copies in zip(tuples(counted.leaves), counted.copies.to_pylist(), strict=True):
        for _ in range(copies):
            left.remove(row)
    assert sorted(map(repr, left + tuples(counted.arrives))) == sorted(map(repr, now))
