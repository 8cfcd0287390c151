"""The sample of rows: bounded, and the same whatever the order and number of deliveries."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa

from tailrace_trainer.collect import TEXT_CHARS_MAX, RowSample


def batches(count: int, rows: int) -> list[tuple[str, pa.RecordBatch]]:
    return [
        (f"0/{i}", pa.RecordBatch.from_pydict({"n": list(range(i * rows, (i + 1) * rows)), "t": [f"text {i}"] * rows}))
        for i in range(count)
    ]


def sampled(
    offered: list[tuple[str, pa.RecordBatch]], rows_max: int, bytes_max: int = 1 << 30, seed: int = 1
) -> pa.Table:
    sample = RowSample(rows_max, bytes_max, seed)
    for identity, batch in offered:
        sample.add(identity, batch)
    return sample.table()


def test_order_and_repetition_of_deliveries_change_nothing() -> None:
    offered = batches(20, 100)
    expected = sampled(offered, 150)
    assert len(expected) == 150
    shuffled = offered + offered[:7]
    random.Random(3).shuffle(shuffled)
    assert sampled(shuffled, 150).equals(expected)
    assert not sampled(offered, 150, seed=2).equals(expected)


def test_every_row_is_as_likely() -> None:
    offered = batches(20, 100)
    counts = np.zeros(2_000)
    for seed in range(60):
        counts[sampled(offered, 200, seed=seed)["n"].to_numpy()] += 1
    assert counts.sum() == 60 * 200
    assert counts.reshape(20, 100).sum(axis=1).std() < 80
    assert counts.max() < 20


def test_all_rows_are_kept_where_there_are_few() -> None:
    assert sorted(sampled(batches(3, 10), 1_000)["n"].to_pylist()) == list(range(30))
    assert len(sampled([], 1_000)) == 0


def test_bytes_are_bounded_and_long_texts_cut() -> None:
    wide = [(str(i), pa.RecordBatch.from_pydict({"t": ["x" * 5_000] * 200})) for i in range(20)]
    sample = sampled(wide, 100_000, bytes_max=300_000)
    assert sample.nbytes <= 300_000
    assert {len(text) for text in sample["t"].to_pylist()} == {TEXT_CHARS_MAX}


def test_a_column_that_once_travels_as_text_is_text() -> None:
    typed = pa.RecordBatch.from_pydict({"n": pa.array([1, 2])})
    text = pa.RecordBatch.from_pydict({"n": pa.array(["infinity"])})
    assert sorted(sampled([("a", typed), ("b", text)], 10)["n"].to_pylist()) == ["1", "2", "infinity"]
