"""Entities and their events: order, lengths and gaps by construction, one result however ordinals are cut, nothing rare in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.synthesis.conftest import make_artefact, make_subject

from tailrace_generator.sampling import BLOCK_ROWS, SequenceSampler
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Artefact, Privacy, SequenceArtefact, SequenceHeader, Weighted, load_model
from tailrace_shared.synthesis.sequence import GAP
from tailrace_trainer.learning.calibrate_events import calibrate_events
from tailrace_trainer.learning.sequence import CodedSequence, Ties, learn_sequence

PEOPLE = 1_000
LONGEST = 137
"""Events of one person; everybody else has a dozen at most."""
DAY_US = 86_400_000_000


def tables(order: str = "date") -> tuple[pa.Table, pa.Table]:
    """People and what they bought; whoever is a ``club`` member buys more often."""
    rng = np.random.default_rng(8)
    club = rng.random(PEOPLE) < 0.4
    lengths = np.minimum(rng.poisson(np.where(club, 6, 1.5)), 12)
    lengths[5] = LONGEST
    owners = np.repeat(np.arange(PEOPLE), lengths)
    gaps = rng.geometric(0.1, len(owners)).astype(float) * DAY_US
    first = rng.integers(17_000, 17_400, PEOPLE) * DAY_US
    moments = np.concatenate([first[i] + np.cumsum(gaps[owners == i]) for i in range(PEOPLE)]).astype(np.int64)
    moments[owners == 7] += 40_000 * DAY_US
    clock = rng.integers(8 * 3_600, 18 * 3_600, len(owners)) * 1_000_000
    kinds = {
        "date": pa.array((moments // DAY_US).astype(np.int32)).view(pa.date32()),
        "timestamp": pa.array(moments + clock).view(pa.timestamp("us")),
        "hourly": pa.array(moments // 1_000 + clock).view(pa.timestamp("us")),
        "number": pa.array(moments // DAY_US),
    }
    people = pa.table(
        {"id": pa.array(np.arange(PEOPLE) * 3), "club": pa.array(club), "age": pa.array(rng.integers(20, 60, PEOPLE))}
    )
    events = pa.table(
        {
            "person": pa.array(owners * 3),
            "at": kinds[order],
            "what": pa.array(rng.choice(["bread", "milk", "tea"], len(owners), p=[0.6, 0.3, 0.1])),
            "price": pa.array(np.round(rng.lognormal(1, 0.5, len(owners)), 2)),
        }
    )
    return people, events.take(pa.array(rng.permutation(len(events))))


def coded(way: str = "date", **options: Any) -> CodedSequence:
    people, events = tables(way)
    kind = {"date": "date", "timestamp": "timestamp", "hourly": "timestamp", "number": "int8"}[way]
    return learn_sequence(
        people, events,
        [make_subject("club", "bool", False), make_subject("age", "int4", False)],
        [make_subject("at", kind, False), make_subject("what", "text", False), make_subject("price", "numeric", False)],
        Ties("id", "person", **({"order": "at"} | options)), Privacy(k=5), np.random.default_rng(2),
    )  # fmt: skip


def model(found: CodedSequence, *, calibrated: bool = True) -> SequenceArtefact:
    entity = make_artefact(found.entity, Privacy(k=5), calibrated=calibrated)
    events = make_artefact(found.events, Privacy(k=5), calibrated=calibrated, sequence=found)
    header = SequenceHeader(
        entity=entity.header, events=events.header, timeline=found.timeline, length_max=found.length_max,
        seen=found.seen, lags=found.lags,
    )  # fmt: skip
    artefact = SequenceArtefact(header, entity, events, found.edges)
    return calibrate_events(artefact, found, np.random.default_rng(1)) if calibrated else artefact


@pytest.fixture(scope="module")
def learned() -> tuple[CodedSequence, SequenceArtefact]:
    found = coded()
    return found, model(found)


@pytest.fixture(scope="module")
def artefact(learned: tuple[CodedSequence, SequenceArtefact]) -> SequenceArtefact:
    return learned[1]


@pytest.mark.parametrize("order", ["date", "timestamp", "hourly", "number"])
def test_events_are_in_order_and_as_many_as_their_entity_has(order: str) -> None:
    sampler = SequenceSampler(model(coded(order), calibrated=False), 3)
    events = sampler.events(0, 400)
    at = events.batch["at"].cast(pa.int32() if order == "date" else pa.int64()).to_numpy().astype(np.int64)
    within = events.owners[1:] == events.owners[:-1]
    assert within.any()
    assert (np.diff(at)[within] >= 0).all()
    assert (np.diff(events.owners) >= 0).all()
    assert events.batch.schema == sampler.event_schema
    assert np.array_equal(np.bincount(events.owners, minlength=400), sampler.counts(0, 400))
    assert (events.places == np.concatenate([np.arange(n) for n in sampler.counts(0, 400)])).all()
    if order == "timestamp":  # days and times of day are drawn apart
        assert (at // 1_000_000 % 86_400).min() >= 8 * 3_600
        assert (at // 1_000_000 % 86_400).max() <= 18 * 3_600


def test_without_an_order_the_rows_place_counts() -> None:
    found = coded("date", order=None)
    assert found.timeline is None
    sampler = SequenceSampler(model(found, calibrated=False), 1)
    assert sampler.event_schema.names == ["at", "what", "price"]
    assert sampler.events(0, 50).batch.num_rows == sampler.counts(0, 50).sum()


@given(st.integers(0, 2 * BLOCK_ROWS), st.lists(st.integers(0, 1_200), min_size=1, max_size=3))
@settings(max_examples=2, deadline=None)
def test_a_sequence_is_the_same_however_entities_are_cut(
    artefact: SequenceArtefact, first: int, lengths: list[int]
) -> None:
    whole, sampler, at = SequenceSampler(artefact, 3), SequenceSampler(SequenceArtefact.load(artefact.save()), 3), first
    people, events = whole.entities(first, sum(lengths)), whole.events(first, sum(lengths))
    batches, owners = [], []
    for length in lengths:
        part = sampler.events(at, length)
        batches.append(part.batch)
        owners.append(part.owners)
        assert sampler.entities(at, length).equals(people.slice(at - first, length))
        at += length
    assert (
        pa.Table.from_batches(batches).combine_chunks().equals(pa.Table.from_batches([events.batch]).combine_chunks())
    )
    assert np.array_equal(np.concatenate(owners), events.owners)
    assert not SequenceSampler(artefact, 4).events(first, 500).batch.equals(whole.events(first, 500).batch)


def test_marginals_lengths_and_gaps_are_those_of_the_rows(
    learned: tuple[CodedSequence, SequenceArtefact],
) -> None:
    found, artefact = learned
    people, events = tables()
    sampler = SequenceSampler(artefact, 9)
    drawn = sampler.events(0, BLOCK_ROWS)
    counts = sampler.counts(0, BLOCK_ROWS)
    real = np.bincount(events["person"].to_numpy() // 3, minlength=PEOPLE)
    assert counts.mean() == pytest.approx(np.minimum(real, found.length_max).mean(), rel=0.06)
    assert (counts == 0).mean() == pytest.approx((real == 0).mean(), abs=0.03)
    for kind in ("bread", "milk", "tea"):  # of a network that is random, and sees what it has drawn
        share = pc.sum(pc.equal(events["what"], kind)).as_py() / len(events)
        made = pc.sum(pc.equal(drawn.batch["what"], kind)).as_py() / len(drawn.owners)
        assert made == pytest.approx(share, abs=0.05)
    gaps = np.diff(drawn.batch["at"].cast(pa.int32()).to_numpy())[drawn.owners[1:] == drawn.owners[:-1]]
    assert gaps.mean() == pytest.approx(10, rel=0.15)
    assert sampler.entities(0, PEOPLE)["club"].true_count / PEOPLE == pytest.approx(
        pc.sum(people["club"]).as_py() / PEOPLE, abs=0.03
    )


def test_a_long_sequence_and_a_moment_of_one_person_are_not_in_the_model(
    learned: tuple[CodedSequence, SequenceArtefact],
) -> None:
    found, artefact = learned
    assert artefact.header.length_max < 15
    assert found.lengths.max() == artefact.header.length_max
    sampler = SequenceSampler(artefact, 1)
    assert sampler.counts(0, 2 * BLOCK_ROWS).max() <= artefact.header.length_max
    assert artefact.edges.max() < 20_000
    timeline = artefact.header.timeline
    assert timeline is not None
    assert timeline.high < 20_000
    assert pc.max(sampler.events(0, BLOCK_ROWS).batch["at"].cast(pa.int32())).as_py() < 20_000
    assert all(
        np.abs(tensor).max() < 20_000 for name, tensor in artefact.events.tensors.items() if name.startswith("c")
    )


def test_a_maximum_length_is_kept() -> None:
    found = coded(length_max=3)
    assert SequenceSampler(model(found, calibrated=False), 1).counts(0, 2_000).max() == 3


def test_conditions_are_on_entities(artefact: SequenceArtefact) -> None:
    sampler = SequenceSampler(artefact, 1, conditions=[Weighted(column="club", weights={"true": 1})])
    assert all(sampler.entities(0, 300)["club"].to_pylist())
    assert len(sampler.events(0, 300).owners)


def test_events_of_nobody_are_left_out() -> None:
    people, events = tables()
    found = learn_sequence(
        people.slice(0, 700), events, [make_subject("age", "int4", False)], [make_subject("what", "text", False)],
        Ties("id", "person"), Privacy(k=5), np.random.default_rng(2),
    )  # fmt: skip
    assert len(found.lengths) == 700
    assert found.owners.max() < 700
    assert found.lengths.sum() == len(found.owners)


def test_what_orders_nothing_is_refused() -> None:
    people, events = tables()
    with pytest.raises(TerminalError) as refused:
        learn_sequence(
            people, events, [], [make_subject("what", "text")], Ties("id", "person", "what"), Privacy(),
            np.random.default_rng(0),
        )  # fmt: skip
    assert refused.value.code == "trainer.order"


def test_both_kinds_of_model_are_told_apart_and_damage_is_refused(artefact: SequenceArtefact) -> None:
    assert isinstance(load_model(artefact.save()), SequenceArtefact)
    assert isinstance(load_model(artefact.entity.save()), Artefact)
    assert load_model(artefact.save()).digest == artefact.digest
    missing = {name: tensor for name, tensor in artefact.events.tensors.items() if name != "n0.mid"}
    broken = SequenceArtefact(
        artefact.header, artefact.entity, Artefact(artefact.events.header, missing), artefact.edges
    )
    unordered = SequenceArtefact(artefact.header, artefact.entity, artefact.events, artefact.edges[::-1])
    for other in (broken, unordered):
        with pytest.raises(TerminalError) as refused:
            load_model(other.data)
        assert refused.value.code == "model.format"
    with pytest.raises(ValueError, match="disagree"):
        SequenceHeader.model_validate({**artefact.header.model_dump(), "seen": (0,)})


def test_a_first_event_has_no_gap_and_a_later_one_has(artefact: SequenceArtefact) -> None:
    gap = next(place for place, column in enumerate(artefact.events.header.columns) if column.columns == (GAP,))
    assert artefact.events.header.order[0].column == gap
    assert artefact.events.header.columns[gap].nulls
