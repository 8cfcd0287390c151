"""Parts of a grown batch: in order, complete, each within the limit, the same for the same rows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.parts import split
from tailrace_shared.errors import TerminalError


def rows(sizes: list[int]) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(range(len(sizes)), pa.int64()), "text": ["x" * size for size in sizes]})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=200))
def test_parts_hold_all_rows_in_order_within_the_limit(sizes: list[int]) -> None:
    batch = rows(sizes)
    parts = split(batch, 1000, "t")
    assert pa.Table.from_batches(parts).combine_chunks().to_pydict() == batch.to_pydict()
    if len(parts) > 1:
        assert all(sum(len(v) for v in part.column("text").to_pylist()) + 32 * part.num_rows <= 1000 for part in parts)
        assert all(part.num_rows for part in parts)


def test_a_batch_that_fits_is_not_touched() -> None:
    batch = rows([10, 20])
    assert split(batch, 10_000, "t") == [batch]


def test_an_empty_batch_is_one_part() -> None:
    assert len(split(rows([]), 10, "t")) == 1


def test_a_sliced_batch_is_weighed_by_its_own_rows() -> None:
    batch = rows([900] * 6).slice(2, 3)
    assert [part.num_rows for part in split(batch, 1000, "t")] == [1, 1, 1]


def test_one_row_above_the_limit_is_refused_by_place_and_setting() -> None:
    with pytest.raises(TerminalError, match=r"row 2 of batch 7 of range 2 of public\.t.*limits\.message_bytes"):
        split(rows([5, 5000]), 1000, "batch 7 of range 2 of public.t")
