"""Every encoder: decoding what was encoded gives the value back, within the loss that its form states."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.sampling.decode import decoder_of, on_weekday
from tailrace_generator.sampling.noise import Noise
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Privacy
from tailrace_shared.types import arrow_type
from tailrace_trainer.learning.columns import LearnedColumn, Lesson, Subject, learn_column, learn_place
from tailrace_trainer.learning.numbers import NARROW
from tailrace_trainer.learning.protection import Entities
from tailrace_trainer.learning.values import numbers_of

K = 5
ROWS = 3_000
RNG = np.random.default_rng(11)


def lesson(privacy: Privacy | None = None) -> Lesson:
    return Lesson(Entities(None, K), privacy or Privacy(k=K), NARROW, np.random.default_rng(1))


def decoded(learned: LearnedColumn) -> list[pa.Array]:
    codes = [np.maximum(drawn, 0).astype(np.int32) for drawn in learned.codes]
    noise = Noise("m", 1, 0, len(codes[0]))
    return decoder_of(learned.encoding, learned.tensors)(codes, noise)


def again(subject: Subject, values: pa.Array) -> tuple[LearnedColumn, pa.Array]:
    """What comes back for a column's own rows."""
    learned = learn_column(subject, values, lesson())
    (found,) = decoded(learned)
    assert len(found) == len(values)
    for token, codes in zip(learned.encoding.tokens(), learned.codes, strict=True):
        assert codes.max() < token.codes
    return learned, found


def spread(values: Sequence[Any], shares: Sequence[float]) -> list[Any]:
    return [values[i] for i in RNG.choice(len(values), ROWS, p=shares)]


@pytest.mark.parametrize("base", ["text", "varchar", "mood", "_text"])
def test_categories_come_back_exactly(subject: Callable[..., Subject], base: str) -> None:
    values = pa.array(spread(["red", "{a,b}", "", None, "ünï\n'\""], [0.5, 0.2, 0.1, 0.1, 0.1]))
    learned, found = again(subject("c", base), values)
    assert learned.encoding.form == "category"
    assert found.equals(values)


def test_booleans_come_back_exactly(subject: Callable[..., Subject]) -> None:
    values = pa.array(spread([True, False, None], [0.7, 0.2, 0.1]))
    assert again(subject("c", "bool"), values)[1].equals(values)


def test_rare_categories_are_drawn_again_or_replaced(subject: Callable[..., Subject]) -> None:
    values = pa.array([*["a"] * 50, *["b"] * 50, "rare", "rarer"])
    again_drawn = learn_column(subject("c", "text"), values, lesson())
    assert again_drawn.encoding.tokens()[0].barred == 0
    replaced = learn_column(subject("c", "text"), values, lesson(Privacy(k=K, rare="constant", replacement="?")))
    assert replaced.encoding.tokens()[0].barred is None
    (found,) = decoded(replaced)
    assert found.to_pylist()[-2:] == ["?", "?"]
    assert found.to_pylist()[:100] == values.to_pylist()[:100]


@pytest.mark.parametrize("base", ["int2", "int4", "int8"])
def test_few_integers_come_back_exactly(subject: Callable[..., Subject], base: str) -> None:
    values = pa.array(spread([-3, 0, 7, 1200, None], [0.2] * 5), arrow_type(subject("c", base).type))
    assert again(subject("c", base), values)[1].equals(values)


@given(
    st.integers(-(10**9), 10**9), st.integers(1, 10**6), st.floats(0.0, 0.3), st.sampled_from([1, 5, 100]),
    st.integers(0, 2**32),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_many_integers_come_back_within_their_cell(offset: int, width: int, nulls: float, step: int, seed: int) -> None:
    from tests.unit.synthesis.conftest import make_subject

    rng = np.random.default_rng(seed)
    drawn = (offset + np.rint(rng.gamma(2, width, ROWS))).astype(np.int64) * step
    missing = rng.random(ROWS) < nulls
    values = pa.array(drawn, pa.int64(), mask=missing)
    learned, found = again(make_subject("c", "int8"), values)
    if missing.sum() >= K:
        assert found.is_null().equals(values.is_null())
    known = ~missing & np.asarray(found.is_valid())
    back = found.fill_null(0).to_numpy()[known]
    # as distributions: no further apart than the mass of two cells and what protection cuts off
    ours, theirs = np.sort(drawn[known]), np.sort(back)
    grid = np.concatenate([ours, theirs])
    below = [np.searchsorted(side, grid, side="right") / len(side) for side in (ours, theirs)]
    assert np.abs(below[0] - below[1]).max() < 0.03
    if step > 1:
        assert (back % step == 0).all()
    if learned.encoding.number.bins:  # type: ignore[union-attr]
        assert np.corrcoef(drawn[known], back)[0, 1] > 0.97


def test_decimals_keep_their_scale(subject: Callable[..., Subject]) -> None:
    cents = np.rint(RNG.lognormal(8, 1, ROWS))
    values = pa.array([Decimal(int(c)) / 100 for c in cents], pa.decimal128(12, 2))
    learned, found = again(subject("c", "numeric", precision=12, scale=2), values)
    assert found.type == pa.decimal128(12, 2)
    assert pc.min(found).as_py() >= pc.min(values).as_py()
    text = again(subject("c", "numeric"), values.cast(pa.string()))[1]
    assert text.type == pa.string()
    assert all(len(value.split(".")[1]) == 2 for value in text.to_pylist())
    assert learned.encoding.number.step == pytest.approx(0.01)  # type: ignore[union-attr]


def test_decimals_stay_within_their_precision(subject: Callable[..., Subject]) -> None:
    values = pa.array([Decimal("999.99")] * 40 + [Decimal(i) / 7 for i in range(500)]).cast(
        pa.decimal128(5, 2), safe=False
    )
    found = again(subject("c", "numeric", precision=5, scale=2), values)[1]
    assert pc.max(found).as_py() <= Decimal("999.99")


@pytest.mark.parametrize("base", ["float4", "float8"])
def test_floats_come_back_near(subject: Callable[..., Subject], base: str) -> None:
    wire = arrow_type(subject("c", base).type)
    values = pa.array(RNG.normal(3, 10, ROWS)).cast(wire)
    found = again(subject("c", base), values)[1]
    assert found.type == wire
    assert np.corrcoef(found.to_numpy(), values.to_numpy())[0, 1] > 0.99


def test_infinities_and_what_is_no_number_are_cut_and_missing(subject: Callable[..., Subject]) -> None:
    values = pa.array(["Infinity", "-Infinity", "NaN", *(str(x) for x in RNG.normal(0, 1, ROWS).round(3))])
    numbers, known = numbers_of(values, subject("c", "float8").type)
    assert np.isfinite(numbers[known]).sum() == ROWS + 2
    found = again(subject("c", "float8", nullable=False), values)[1]
    assert found.null_count == 0
    assert np.isfinite(found.to_numpy()).all()


def days(count: int) -> list[dt.date]:
    return [dt.date(2019, 1, 1) + dt.timedelta(days=int(d)) for d in RNG.integers(0, 1500, count)]


def test_dates_keep_their_weekdays(subject: Callable[..., Subject]) -> None:
    workdays = [d for d in days(3 * ROWS) if d.weekday() < 5]
    found = again(subject("c", "date"), pa.array(workdays))[1]
    assert found.type == pa.date32()
    assert {d.weekday() for d in found.to_pylist()} <= set(range(5))
    apart = [abs((a - b).days) for a, b in zip(workdays, found.to_pylist(), strict=True)]
    assert np.mean(apart) < 7


@given(st.lists(st.tuples(st.integers(-(10**5), 10**5), st.integers(0, 6)), min_size=1, max_size=50))
def test_a_day_moves_by_three_days_at_most(pairs: list[tuple[int, int]]) -> None:
    at = np.array([float(day) for day, _ in pairs])
    moved = on_weekday(at, np.array([week for _, week in pairs], np.int32), -1e9, 1e9)
    assert np.abs(moved - at).max() <= 3
    assert ((moved + 3) % 7 == [week for _, week in pairs]).all()


@pytest.mark.parametrize("base", ["timestamp", "timestamptz"])
def test_timestamps_keep_whole_minutes_and_hours_of_work(subject: Callable[..., Subject], base: str) -> None:
    moments = [
        dt.datetime(d.year, d.month, d.day, int(h), int(m), tzinfo=dt.UTC if base == "timestamptz" else None)
        for d, h, m in zip(days(ROWS), RNG.integers(9, 18, ROWS), RNG.integers(0, 60, ROWS), strict=True)
    ]
    found = again(subject("c", base), pa.array(moments, arrow_type(subject("c", base).type)))[1]
    assert found.type == arrow_type(subject("c", base).type)
    back = found.to_pylist()
    assert {m.second for m in back} == {0}
    assert {m.hour for m in back} <= set(range(9, 18))


def test_times_and_intervals_come_back_near(subject: Callable[..., Subject]) -> None:
    seconds = RNG.integers(0, 86_400, ROWS)
    times = pa.array([int(s) * 1_000_000 for s in seconds]).view(pa.time64("us"))
    found = again(subject("c", "time"), times)[1]
    assert found.type == pa.time64("us")
    assert np.abs(found.cast(pa.int64()).to_numpy() / 1e6 - seconds).max() < 86_400 / 40
    texts = pa.array([f"{s // 3600 - 3} days {s % 24:02}:{s % 60:02}:07" for s in seconds])
    back = again(subject("c", "interval"), texts)[1]
    ours, _ = numbers_of(texts, subject("c", "interval").type)
    theirs, known = numbers_of(back, subject("c", "interval").type)
    assert known.all()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("00:00:01.5", 1_500_000),
        ("1 year 2 mons 3 days 04:05:06", ((12 + 2) * 30 + 3) * 86_400_000_000 + 14_706_000_000),
        ("-1 days -00:00:01", -86_401_000_000),
        ("3 days", 3 * 86_400_000_000),
        ("-00:00:00.000001", -1),
    ],
)
def test_intervals_are_read_as_postgresql_writes_them(
    subject: Callable[..., Subject], text: str, microseconds: int
) -> None:
    values, known = numbers_of(pa.array([text]), subject("c", "interval").type)
    assert known.all()
    assert values[0] == microseconds


def test_mostly_unique_texts_come_back_as_their_shape(subject: Callable[..., Subject]) -> None:
    values = pa.array([f"K{int(n):05}-{'xyz'[n % 3]}É" for n in RNG.integers(0, 10**5, ROWS)])
    learned, found = again(subject("c", "text"), values)
    assert learned.encoding.form == "pattern"
    assert learned.encoding.patterns == ("A00000-aA",)  # type: ignore[union-attr]
    assert pc.all(pc.match_substring_regex(found, r"^[A-Z]\d{5}-[a-z][A-Z]$")).as_py()
    assert len(set(found.to_pylist()) & set(values.to_pylist())) < ROWS / 20


def test_running_text_keeps_its_number_of_words(subject: Callable[..., Subject]) -> None:
    vocabulary = ["lorem", "Ipsum", "d0lor", "sit-amet", "x"]
    values = pa.array(
        [" ".join(RNG.choice(vocabulary, n)) + str(n * i) for i, n in enumerate(RNG.integers(3, 40, ROWS))]
    )
    learned, found = again(subject("c", "text"), values)
    assert learned.encoding.form == "words"
    ours, theirs = (pc.count_substring_regex(side, r"\S+").to_numpy() for side in (values, found))
    assert np.array_equal(ours, theirs)


def test_running_text_fits_its_column(subject: Callable[..., Subject]) -> None:
    values = pa.array([" ".join("abc"[i % 3] * (i % 7 + j) for j in range(1, 6)) + str(i) for i in range(300)])
    found = again(subject("c", "varchar", form="words", length=12), values)[1]
    assert pc.max(pc.utf8_length(found)).as_py() <= 12


@pytest.mark.parametrize("base", ["bytea", "jsonb", "_text"])
def test_values_whose_shape_means_nothing_are_not_made_up(subject: Callable[..., Subject], base: str) -> None:
    with pytest.raises(TerminalError) as refused:
        learn_column(subject("c", base, nullable=False), pa.array([f"\\x{i:08x}" for i in range(500)]), lesson())
    assert refused.value.code == "trainer.column-rare"


def test_uuids_are_fresh(subject: Callable[..., Subject]) -> None:
    values = pa.array([None if i % 10 == 0 else RNG.bytes(16) for i in range(ROWS)], pa.binary(16))
    found = again(subject("c", "uuid"), values)[1]
    assert found.is_null().equals(values.is_null())
    assert len(set(found.drop_null().to_pylist())) == ROWS - ROWS // 10
    assert {value[6] >> 4 for value in found.drop_null().to_pylist()} == {4}


def test_places_come_back_near_and_stay_together(subject: Callable[..., Subject]) -> None:
    towns = np.array([[52.52, 13.4], [48.14, 11.58], [40.7, -74.0]])[RNG.integers(0, 3, ROWS)]
    points = (towns + RNG.normal(0, 0.05, towns.shape)).round(5)
    north, east = subject("lat", "float8"), subject("lon", "float8")
    values = {"lat": pa.array(points[:, 0]), "lon": pa.array(points[:, 1])}
    latitude, longitude = decoded(learn_place(north, east, values, lesson()))
    back = np.stack([latitude.to_numpy(), longitude.to_numpy()], axis=1)
    assert np.median(np.abs(back - points)) < 0.03
    nearest = np.abs(back[:, None] - towns[None, :100]).sum(axis=2).min(axis=1)
    assert np.mean(nearest < 0.5) > 0.97


def test_an_empty_column_is_empty_and_a_rare_one_is_refused(subject: Callable[..., Subject]) -> None:
    values = pa.array([1, 2, *[None] * 100], pa.int64())
    assert again(subject("c", "int8"), values)[1].null_count == 102
    with pytest.raises(TerminalError) as refused:
        learn_column(subject("c", "int8", nullable=False), values, lesson())
    assert refused.value.code == "trainer.column-rare"
    assert "c" in refused.value.message


def test_a_form_can_be_chosen(subject: Callable[..., Subject]) -> None:
    values = pa.array([f"a{i}" for i in RNG.integers(0, 9, ROWS)])
    assert learn_column(subject("c", "text", form="pattern"), values, lesson()).encoding.form == "pattern"
    numbers = pa.array(RNG.integers(0, 9, ROWS))
    learned, found = again(subject("c", "int8", form="category"), numbers)
    assert learned.encoding.form == "category"
    assert found.equals(numbers)
