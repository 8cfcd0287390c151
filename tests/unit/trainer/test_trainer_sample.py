"""The sample of rows: bounded, and the same whatever the order and number of deliveries."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa

from tailrace_trainer.collect import TEXT_CHARS_MAX, RowSample
from tailrace_trainer.collect_pairs import NOBODY, PairSample, priorities_of


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


def pair_sample(
    order: list[int], *, entities_max: int = 10_000, events_max: int = 10_000, bytes_max: int = 1 << 30
) -> tuple[pa.Table, pa.Table]:
    """Of 1,000 entities with i % 7 events each, in 5 + 10 batches that arrive in this order, each event batch of all entities."""
    owners = np.repeat(np.arange(1000), np.arange(1000) % 7)
    sample = PairSample("id", "of", entities_max=entities_max, events_max=events_max, bytes_max=bytes_max, seed=4)
    for place in order:
        if place < 5:
            ids = np.arange(place * 200, place * 200 + 200)
            batch = pa.RecordBatch.from_pydict({"id": pa.array(ids.astype(np.int32)), "note": ["n" * 20] * 200})
        else:
            mine = np.flatnonzero(np.arange(len(owners)) % 10 == place - 5)
            batch = pa.RecordBatch.from_pydict({"of": pa.array(owners[mine]), "what": mine.tolist()})
        sample.add((int(place >= 5), place), batch, events=place >= 5)
    return sample.tables()


def test_of_an_entity_that_is_sampled_all_events_are_in_whatever_order_batches_come() -> None:
    for limits in ({}, {"entities_max": 150}, {"events_max": 400}, {"bytes_max": 30_000}):
        entities, events = pair_sample(list(range(15)), **limits)
        ids, owners = entities["id"].to_numpy(), events["of"].to_numpy()
        assert len(ids) == (1000 if not limits else len(ids))
        assert 20 < len(ids) <= limits.get("entities_max", 1000)
        assert len(owners) <= limits.get("events_max", 10_000)
        found = dict(zip(*np.unique(owners, return_counts=True), strict=True))
        assert {i: found.get(i, 0) for i in ids} == {i: i % 7 for i in ids}, "whole, also with another integer type"
        assert set(owners) <= set(ids)
        assert entities.nbytes + events.nbytes <= limits.get("bytes_max", 1 << 30) * 1.1
        shuffled = list(range(15))
        random.Random(9).shuffle(shuffled)
        if "bytes_max" not in limits:
            again = pair_sample([*shuffled, *shuffled[:4]], **limits)
            assert (again[0].equals(entities), again[1].equals(events)) == (True, True)


def test_whose_an_event_is_decides_and_nobody_s_are_left_out() -> None:
    token = bytes(range(16))
    same = [
        priorities_of(pa.array([7, None], pa.int32()), 1), priorities_of(pa.array([7, None], pa.int64()), 1),
        priorities_of(pa.array(["7", None]), 1),
    ]  # fmt: skip
    assert len({tuple(found) for found in same}) == 1
    assert same[0][1] == NOBODY
    texts = pa.array(["00010203-0405-0607-0809-0a0b0c0d0e0f"])
    assert priorities_of(pa.array([token], pa.binary(16)), 1)[0] == priorities_of(texts, 1)[0]
    assert priorities_of(texts, 2)[0] != priorities_of(texts, 1)[0]
    everyone = priorities_of(pa.array(np.arange(20_000)), 3)
    assert abs(everyone.mean() - 0.5) < 0.01
    assert everyone.max() < 1
