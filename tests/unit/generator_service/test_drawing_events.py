"""Events that are drawn: numbered through all entities, the same whoever draws which of them, and never two at one place."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.catalogues import catalogue, foreign_key, table
from support.catalogues import planned as plan_of
from support.untrained import make_pair, make_subject
from tailrace_generator.drawing_events import apart
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.making import TableMaker
from tailrace_generator.sampling import BLOCK_ROWS
from tailrace_generator.sampling.sequences import EVENTS_AT_ONCE, PART_ROWS_MIN, Events, part_rows
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import Plan
from tailrace_shared.synthesis import Privacy, SequenceArtefact
from tailrace_trainer.learning.sequence import Ties, learn_sequence

SECRET = MaskSecret.of("a secret of the tests")
PLAYER = table("player", "id int4!", "bats text!", "weight int4!", primary=["id"], rows=3000.0)
SEASON = table(
    "season", "id int8!", "player_id int8!", "year int4!", "team text!", "note text", primary=["id"], rows=12000.0
)
ENTITIES = 3_000


@lru_cache(maxsize=1)
def model() -> SequenceArtefact:
    rng, people = np.random.default_rng(3), 3000
    lengths = rng.poisson(4, people)
    lengths[::75] = 150
    owners = np.repeat(np.arange(people), lengths)
    players = pa.table(
        {"id": np.arange(people), "bats": rng.choice(["L", "R"], people), "weight": rng.integers(60, 99, people)}
    )
    seasons = pa.table(
        {
            "player_id": owners,
            "year": rng.integers(1990, 2000, len(owners)).astype(np.int32),
            "team": rng.choice(["A", "B", "C"], len(owners)),
        }
    )
    privacy = Privacy()
    coded = learn_sequence(
        players, seasons,
        [make_subject("bats", "text", False), make_subject("weight", "int4", False)],
        [make_subject("year", "int4", False), make_subject("team", "text", False)],
        Ties("id", "player_id", "year"), privacy, rng,
    )  # fmt: skip
    return make_pair(coded, privacy)


def planned(strict: bool = False, entities: int = ENTITIES) -> Plan:
    season = SEASON
    if strict:
        season = table(
            "season", "player_id int4!", "year int4!", "team text!", primary=["player_id", "year"], rows=12000.0
        )
    keys = (foreign_key("season", ["player_id"], "player"),)
    job = (
        f"policy: halt\ntables:\n  public.player: {{mode: synthesize, rows: {entities}}}\n"
        "  public.season: {mode: synthesize, sequence: {entity: public.player, order: year}"
        + ("" if strict else ", columns: {note: mock.city}")
        + "}\n"
    )
    return plan_of(job, catalogue(PLAYER, season, keys=keys))


def drawn(plan: Plan, first: int, entities: int) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Events of some entities, as a replica makes them that makes nothing else; and their spans."""
    workshop = Workshop(plan, SECRET)
    workshop.take(1, model())
    maker, found, spans = TableMaker(plan.table(1), workshop), [], []
    for start, rows in workshop.events(1).spans(first, entities):
        spans.append((start, rows))
        found += [maker(at, min(700, start + rows - at)) for at in range(start, start + rows, 700)]
    return pa.Table.from_batches(found).combine_chunks(), spans


def test_events_are_numbered_through_and_the_same_whoever_draws_which_entities() -> None:
    plan = planned()
    whole, spans = drawn(plan, 0, ENTITIES)
    assert whole["id"].to_pylist() == list(range(1, len(whole) + 1)), "keys are dense"
    later, (span, *_) = drawn(plan, BLOCK_ROWS, ENTITIES - BLOCK_ROWS)
    assert len(spans) == -(-ENTITIES // 512), "some have so many events that a block's are drawn in parts"
    assert span == spans[BLOCK_ROWS // 512]
    assert later.equals(whole.slice(span[0]).combine_chunks())
    owners = whole["player_id"].to_numpy()
    assert (np.diff(owners) >= 0).all()
    assert (owners.min() >= 1, owners.max() <= ENTITIES) == (True, True)
    year = whole["year"].to_numpy()
    assert (np.diff(year)[owners[1:] == owners[:-1]] >= 0).all()
    assert set(whole["team"].to_pylist()) == {"A", "B", "C"}
    assert whole["note"].null_count == 0


def test_as_many_events_as_each_entity_has_and_entities_do_not_depend_on_their_events() -> None:
    plan = planned()
    workshop = Workshop(plan, SECRET)
    workshop.take(0, model())
    people = TableMaker(plan.table(0), workshop)(0, ENTITIES)
    assert people.schema.names == ["id", "bats", "weight"], "what is hidden stays so"
    whole, _ = drawn(plan, 0, ENTITIES)
    fewer, _ = drawn(planned(entities=2_500), 0, 2_500)
    assert fewer.equals(whole.slice(0, len(fewer)).combine_chunks()), "more entities change none of those before"


def test_where_an_index_asks_for_it_no_two_events_of_an_entity_are_at_one_place() -> None:
    plan = planned(strict=True)
    assert plan.table(1).strict
    whole, _ = drawn(plan, 0, ENTITIES)
    pairs = set(zip(whole["player_id"].to_pylist(), whole["year"].to_pylist(), strict=True))
    assert len(pairs) == len(whole)
    twice = planned().table(1)
    assert not twice.strict


def test_as_many_events_are_drawn_together_as_memory_and_patience_allow() -> None:
    assert [part_rows(most) for most in (0, 1, 64, 65, 150, 1000)] == [2048, 2048, 2048, 1024, 512, 128]
    for most in range(1, 1001):
        rows = part_rows(most)
        assert rows * most <= EVENTS_AT_ONCE or rows == PART_ROWS_MIN
        assert BLOCK_ROWS % rows == 0


@pytest.mark.parametrize(
    ("kind", "raw"), [(pa.int32(), pa.int32()), (pa.date32(), pa.int32()), (pa.timestamp("us"), pa.int64())]
)
def test_events_at_one_place_are_moved_apart_each_entity_for_itself(kind: pa.DataType, raw: pa.DataType) -> None:
    values = pa.array([5, 5, 5, 9, 3, 3, 4], raw).view(kind) if kind != raw else pa.array([5, 5, 5, 9, 3, 3, 4], raw)
    events = Events(
        pa.RecordBatch.from_arrays([values], ["at"]), np.array([0, 0, 0, 0, 2, 2, 2]), np.array([0, 1, 2, 3, 0, 1, 2])
    )
    found = apart(events, "at").batch.column("at")
    assert found.type == kind
    assert (found.view(raw) if kind != raw else found).to_pylist() == [5, 6, 7, 9, 3, 4, 5]


@given(st.lists(st.lists(st.integers(-5, 5), max_size=6).map(sorted), max_size=5))
@settings(max_examples=60, deadline=None)
def test_who_is_moved_stays_in_order_and_moves_no_further_than_it_must(sequences: list[list[int]]) -> None:
    owners = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    places = np.concatenate([np.arange(len(s)) for s in sequences] or [np.zeros(0)]).astype(np.int64)
    values = pa.array([value for s in sequences for value in s], pa.int64())
    events = Events(pa.RecordBatch.from_arrays([values], ["at"]), owners, places)
    expected: list[int] = []
    for sequence in sequences:
        last = -100
        for value in sequence:
            last = max(value, last + 1)
            expected.append(last)
    assert apart(events, "at").batch.column("at").to_pylist() == expected


def test_a_model_of_one_table_draws_no_events() -> None:
    with pytest.raises(TerminalError) as caught:
        Workshop(planned(), SECRET).take(1, model().entity)
    assert caught.value.code == "model.columns"
