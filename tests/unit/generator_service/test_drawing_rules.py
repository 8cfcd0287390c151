"""Rows drawn as a job asks: seeds in turn, rules kept and their rate told, context through its rule."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from support.catalogues import catalogue, table
from support.catalogues import plan as plan_of
from support.untrained import make_artefact, make_subject
from tailrace_generator.asked import typed
from tailrace_generator.kernels import MaskSecret, build
from tailrace_generator.making import TableMaker
from tailrace_generator.sampling import BLOCK_ROWS, Sampler
from tailrace_generator.workshop import Workshop
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import Plan
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_shared.types import arrow_type
from tailrace_trainer.learning.table import learn_table

SECRET = MaskSecret.of("a secret of the tests")
TRIP = table("trip", "id int4!", "city text!", "fare numeric(8,2)!", "tip numeric(8,2)!", "paid bool!", primary=["id"])
CITIES = ["Rome", "Oslo", "Riga", "Bern"]


@pytest.fixture(scope="module")
def model() -> Artefact:
    rng = np.random.default_rng(3)
    cents = {name: rng.integers(0, 5_000, 3_000) for name in ("fare", "tip")}
    money = pa.decimal128(8, 2)
    rows = pa.table(
        {
            "city": pa.array(rng.choice(CITIES, 3_000).tolist()),
            **{name: pa.array([Decimal(int(n)) / 100 for n in drawn], money) for name, drawn in cents.items()},
            "paid": pa.array(rng.random(3_000) < 0.5),
        }
    )
    subjects = [
        make_subject("city", "text", False, "category"),
        make_subject("fare", "numeric", False, precision=8, scale=2),
        make_subject("tip", "numeric", False, precision=8, scale=2),
        make_subject("paid", "bool", False),
    ]
    coded = learn_table(rows, subjects, Privacy(), rng, first=("city", "fare"))
    return make_artefact(coded, Privacy(), calibrated=True)


def planned(rest: str) -> Plan:
    job = f"policy: halt\ntables:\n  public.trip: {{mode: synthesize, rows: 9000, {rest}}}\n"
    result = plan_of(job, catalogue(TRIP))
    assert result.plan is not None, result.problems
    return result.plan


def shop(rest: str, model: Artefact) -> tuple[TableMaker, Workshop]:
    plan = planned(rest)
    workshop = Workshop(plan, SECRET, {seeds.table: seeds for seeds in plan.seeds})
    workshop.take(0, model)
    return TableMaker(plan.table(0), workshop), workshop


def test_seeds_are_used_in_turn_however_rows_are_cut_and_keep_their_values(model: Artefact) -> None:
    make, _ = shop("draw: {seeds: {columns: [city, fare], rows: [[Rome, 1.5], [Oslo, 20], [Rome, 3]]}}", model)
    rows = make(0, 5000)
    assert rows["city"].to_pylist() == (["Rome", "Oslo", "Rome"] * 1667)[:5000]
    assert rows["fare"].to_pylist() == ([Decimal("1.50"), Decimal("20.00"), Decimal("3.00")] * 1667)[:5000]
    assert len(set(rows["tip"].to_pylist())) > 100, "the others are drawn"
    pieces = pa.Table.from_batches([make(first, min(700, 5000 - first)) for first in range(0, 5000, 700)])
    assert pieces.combine_chunks().to_batches()[0].equals(rows)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("{columns: [city], rows: [[Atlantis]]}", "never seen"),
        ("{columns: [fare], rows: [[much]]}", "no decimal"),
        ("{columns: [paid], rows: [[~]]}", "never NULL"),
    ],
)
def test_a_seed_that_the_model_has_nothing_for_is_said(model: Artefact, seeds: str, said: str) -> None:
    with pytest.raises(TerminalError) as refused:
        shop(f"draw: {{seeds: {seeds}}}", model)[0](0, 10)
    assert refused.value.code == "sample.seed"
    assert said in refused.value.message
    assert "Atlantis" not in refused.value.message, "no value in a message"


def test_rules_hold_in_every_row_and_how_many_broke_them_is_told(model: Artefact) -> None:
    pairs = "values: [[Rome, true], [Oslo, false], [Riga, true], [Bern, true]]"
    make, workshop = shop(f"draw: {{ordered: [[tip, fare]], among: [{{columns: [city, paid], {pairs}}}]}}", model)
    assert workshop.rejected(0) == (0, 0)
    rows = make(0, 2 * BLOCK_ROWS)
    assert all(tip <= fare for tip, fare in zip(rows["tip"].to_pylist(), rows["fare"].to_pylist(), strict=True))
    allowed = {("Rome", True), ("Oslo", False), ("Riga", True), ("Bern", True)}
    assert set(zip(rows["city"].to_pylist(), rows["paid"].to_pylist(), strict=True)) == allowed
    drawn, rejected = workshop.rejected(0)
    assert 0.5 < rejected / drawn < 0.95
    make, _ = shop("draw: {below: [[tip, fare]]}", model)
    rows = make(0, BLOCK_ROWS)
    assert all(tip < fare for tip, fare in zip(rows["tip"].to_pylist(), rows["fare"].to_pylist(), strict=True))


def test_combinations_are_compared_as_values_and_not_as_they_are_spelt(model: Artefact) -> None:
    every = ", ".join(f"[{cents / 100}]" for cents in range(5_000))  # 1.5 for 1.50
    make, _ = shop(f"draw: {{among: [{{columns: [fare], values: [{every}]}}]}}", model)
    assert make(0, BLOCK_ROWS).num_rows == BLOCK_ROWS


@pytest.mark.parametrize(
    ("draw", "code", "said"),
    [
        ("{among: [{columns: [city], values: [[Atlantis]]}]}", "sample.rejected", "100 % of all that were drawn"),
        ("{among: [{columns: [paid], values: [[maybe]]}]}", "sample.rule", "no bool"),
        ("{ordered: [[city, fare]]}", "sample.rule", "cannot be"),
    ],
)
def test_a_rule_that_no_row_keeps_ends_in_bounded_time_with_its_rate(
    model: Artefact, draw: str, code: str, said: str
) -> None:
    with pytest.raises(TerminalError) as refused:
        shop(f"draw: {draw}", model)[0](0, 10)
    assert refused.value.code == code
    assert said in refused.value.message


def test_context_goes_through_its_rule_and_maps_as_in_a_carried_table(model: Artefact) -> None:
    make, _ = shop("train: {context: [city, paid]}, columns: {city: mask.text, paid: duplicate}", model)
    rows = make(0, 3000)
    carried = plan_of("policy: pass\ntables: {public.trip: {columns: {city: mask.text}}}\n", catalogue(TRIP)).plan
    assert carried is not None
    column = next(c for c in carried.table(0).columns if c.name == "city")
    assert column.mask is not None
    masked = build(column.rule, column.mask, SECRET)(pa.array(CITIES))
    assert set(rows["city"].to_pylist()) == set(masked.to_pylist())
    assert not set(rows["city"].to_pylist()) & set(CITIES)
    assert set(rows["paid"].to_pylist()) == {True, False}


MOMENTS = {
    "date": [date(2020, 1, 1 + day) for day in range(4)],
    "time": [time(1, 2, 3, 7 * n) for n in range(4)],
    "timestamp": [datetime(2020, 1, 1, 2, 3, 4, 5 * n, tzinfo=UTC).replace(tzinfo=None) for n in range(4)],
    "timestamptz": [datetime(2020, 1, 1, 2, 3, 4, 5 * n, tzinfo=UTC) for n in range(4)],
    "bool": [True, False, True, False],
    "float8": [1.5, 2e300, -0.1, 3.0],
    "_text": ["{a}", "{b,c}", "{}", "{d}"],
}


@pytest.mark.parametrize("base", MOMENTS)
def test_values_of_every_kind_that_context_takes_are_drawn_as_they_were_and_can_be_given(base: str) -> None:
    rng = np.random.default_rng(1)
    subject = make_subject("x", base, True, "category")
    values = pa.array(
        [MOMENTS[base][k] if k < 4 else None for k in rng.integers(0, 5, 1_000)], arrow_type(subject.type)
    )
    coded = learn_table(pa.table({"x": values}), [subject], Privacy(), rng, first=("x",))
    artefact = make_artefact(coded, Privacy(), calibrated=True)
    sampler = Sampler(artefact, 1)
    assert set(sampler.rows(0, 500)["x"].to_pylist()) == set(values.to_pylist())
    texts = values.slice(0, 50).cast(pa.string())
    assert sampler.complete(typed(pa.table({"x": texts}), sampler.schema))["x"].equals(values.slice(0, 50))
