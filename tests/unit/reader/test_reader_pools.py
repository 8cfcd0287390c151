"""Which keys of a table a pool holds, however they come."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from support.catalogues import catalogue, foreign_key, planned, table
from tailrace_reader import pools
from tailrace_reader.pools import Smallest, chance_of, keys_of
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.pool_facts import KeyFacts


def batch(*ids: int | None) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array(ids, pa.int64()), "tag": pa.array([f"t{n}" for n in ids])})


def kept(most: int, *batches: pa.RecordBatch) -> set[int]:
    chosen = Smallest(most)
    for one in batches:
        chosen.add(one)
    return set(chosen.batch()["id"].to_pylist())


def test_the_same_keys_are_chosen_in_whatever_order_and_pieces_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SPARE_ROWS", 10)
    ids = list(range(500))
    whole = kept(50, batch(*ids))
    assert len(whole) == 50
    assert whole != set(range(50))
    random.Random(4).shuffle(ids)
    assert kept(50, *(batch(*ids[at : at + 7]) for at in range(0, 500, 7))) == whole


def test_all_are_kept_where_there_is_room_and_a_key_with_null_is_none() -> None:
    assert kept(50, batch(1, None, 3), batch(4)) == {1, 3, 4}


def test_a_column_that_came_as_text_once_is_text() -> None:
    chosen = Smallest(10)
    chosen.add(pa.record_batch({"id": pa.array([7], pa.int64())}))
    chosen.add(pa.record_batch({"id": pa.array(["8"])}))
    assert chosen.batch()["id"].to_pylist() == ["7", "8"]


def test_a_large_table_is_read_by_chance_and_a_small_or_filtered_one_whole() -> None:
    person = table("person", "id int8!", "name text", primary=["id"], rows=1e9)
    source = catalogue(
        person, table("visit", "id int8!", "person_id int8!", primary=["id"]), keys=(foreign_key("visit", ["person_id"], "person"),)
    )  # fmt: skip
    facts = SourceFacts(keys={"public.person": KeyFacts(columns=("id",), rows=500_001, bytes=8.0)})
    plan = planned(
        "policy: mask\ntables:\n  public.person: {columns: {id: key}}\n  public.visit: {mode: generate, rows: 9}\n",
        source,
        facts=facts,
    )
    (pool,) = plan.pools
    keys = keys_of(plan, pool)
    assert [c.name for c in keys.columns] == ["id"]
    assert chance_of(keys, pool).startswith(" TABLESAMPLE BERNOULLI (0.0")
    assert chance_of(keys.model_copy(update={"filtered": True}), pool) == ""
    assert chance_of(keys.model_copy(update={"estimated_rows": 1000.0}), pool) == ""
