"""Rules between columns hold in every row, by construction or by drawing again; seeds come back as they were given; arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.synthesis.conftest import make_artefact, make_subject

from tailrace_generator.sampling import BLOCK_ROWS, Sampler
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Among, Artefact, ListColumn, Ordered, Privacy
from tailrace_trainer.learning.lists import LENGTH_MAX, elements_of
from tailrace_trainer.learning.rules import Rules
from tailrace_trainer.learning.table import learn_table

ROWS = 3_000
DAY_US = 86_400_000_000
BASES = {
    "city": "text", "country": "text", "low": "int4", "high": "int4", "begun": "timestamp", "ended": "timestamp",
    "tags": "_text", "price": "numeric",
}  # fmt: skip
PLACES = [("Paris", "FR"), ("Lyon", "FR"), ("Bonn", "DE"), ("Rome", "IT"), ("Nowhere", None)]


def rows() -> pa.Table:
    rng = np.random.default_rng(7)
    place = rng.choice(5, ROWS, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    place_names = [PLACES[p] for p in place]
    place_names[17] = ("Atlantis", "XX")
    low = rng.integers(0, 1_000, ROWS)
    begun = rng.integers(17_000, 18_000, ROWS) * DAY_US + rng.integers(0, 86_400, ROWS) * 1_000_000
    words = ["red", "green", '"light blue"', "NULL"]
    tags = [
        None
        if rng.random() < 0.1
        else "{" + ",".join(rng.choice(words, rng.integers(0, 6), p=[0.5, 0.3, 0.1, 0.1])) + "}"
        for _ in range(ROWS)
    ]
    tags[3], tags[4] = "{secret}", "{" + ",".join(["red"] * 40) + "}"
    return pa.table(
        {
            "city": pa.array([city for city, _ in place_names]),
            "country": pa.array([country for _, country in place_names]),
            "low": pa.array(low.astype(np.int32), mask=rng.random(ROWS) < 0.1),
            "high": pa.array((low + rng.geometric(0.01, ROWS)).astype(np.int32), mask=rng.random(ROWS) < 0.05),
            "begun": pa.array(begun).view(pa.timestamp("us")),
            "ended": pa.array(begun + rng.integers(0, 10**11, ROWS)).view(pa.timestamp("us")),
            "tags": pa.array(tags, pa.string()),
            "price": pa.array(np.round(rng.lognormal(3, 1, ROWS), 2)).cast(pa.decimal128(12, 2)),
        }
    )


def model(rules: Rules | None = None, columns: tuple[str, ...] = tuple(BASES), **options: Any) -> Artefact:
    subjects = [
        make_subject(name, BASES[name], **({"precision": 12, "scale": 2} if name == "price" else {}))
        for name in columns
    ]
    coded = learn_table(rows(), subjects, Privacy(k=5), np.random.default_rng(1), rules=rules, **options)
    return make_artefact(coded, Privacy(k=5), calibrated=True)


@pytest.fixture(scope="module")
def ruled() -> Artefact:
    found = model(Rules([("city", "country")], [("low", "high"), ("begun", "ended")]))
    return Artefact.load(found.save())


@pytest.fixture(scope="module")
def free() -> Artefact:
    return model(columns=("city", "country", "low", "high", "price"), first=["city", "low"])


def test_rules_that_are_built_in_hold_in_every_row(ruled: Artefact) -> None:
    drawn = Sampler(ruled, 3).rows(0, 2 * BLOCK_ROWS)
    assert set(zip(drawn["city"].to_pylist(), drawn["country"].to_pylist(), strict=True)) == set(PLACES)
    for low, high in (("low", "high"), ("begun", "ended")):
        held = pc.less_equal(drawn[low], drawn[high])
        assert held.false_count == 0
        assert held.true_count > BLOCK_ROWS
    share = drawn["city"].to_pylist().count("Paris") / drawn.num_rows
    assert share == pytest.approx(0.4, abs=0.03)
    assert drawn["high"].null_count / drawn.num_rows == pytest.approx(0.05, abs=0.02)
    alone = drawn.filter(pc.is_null(drawn["low"]))["high"].drop_null()
    assert 300 < pc.mean(alone).as_py() < 800  # above the middle of low
    assert b"Atlantis" not in ruled.data


def test_arrays_are_lists_of_names_that_enough_share(ruled: Artefact) -> None:
    column = next(c for c in ruled.header.columns if isinstance(c, ListColumn))
    assert set(column.labels) == {"red", "green", '"light blue"', "NULL"}
    assert column.length_max == 5
    drawn = Sampler(ruled, 3).rows(0, BLOCK_ROWS)["tags"]
    assert drawn.null_count / len(drawn) == pytest.approx(0.1, abs=0.02)
    split = [elements_of(text) for text in drawn.drop_null().to_pylist()]
    assert all(elements is not None and set(elements) <= set(column.labels) for elements in split)
    lengths = np.array([len(elements or ()) for elements in split])
    assert np.bincount(lengths) / len(lengths) == pytest.approx(1 / 6, abs=0.03)
    every = [element for elements in split for element in elements or ()]
    assert every.count("red") / len(every) == pytest.approx(0.5, abs=0.1)


NAMES = st.lists(st.sampled_from(["a", "NULL", '"x,y"', '"q\\"{}"', "b c"]), max_size=LENGTH_MAX + 3)


@given(NAMES)
def test_array_literals_are_split_where_elements_end(names: list[str]) -> None:
    assert elements_of("{" + ",".join(names) + "}") == names


@pytest.mark.parametrize("literal", ["", "a", "{{1,2},{3,4}}", "[0:1]={1,2}"])
def test_what_is_no_list_is_none(literal: str) -> None:
    assert elements_of(literal) is None


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        (Rules([("city", "nothing")]), "not learned"),
        (Rules((), [("low", "city")]), "compared"),
        (Rules((), [("begun", "high")]), "compared"),
        (Rules([("city", "country")], [("low", "high"), ("begun", "high")]), "two rules"),
        (Rules((), [("low", "high"), ("high", "price")]), "another rule"),
    ],
)
def test_rules_that_cannot_be_built_in_are_refused(rules: Rules, word: str) -> None:
    with pytest.raises(TerminalError, match=word) as refused:
        model(rules)
    assert refused.value.code == "trainer.rule"


def test_rows_that_break_a_rule_are_drawn_again_and_the_rate_is_told(free: Artefact) -> None:
    rules = [Ordered(low="low", high="high"), Among(columns=("city", "country"), combinations=tuple(PLACES))]
    sampler = Sampler(free, 3, rules=rules)
    drawn = sampler.rows(0, BLOCK_ROWS)
    assert pc.less_equal(drawn["low"], drawn["high"]).false_count == 0
    assert set(zip(drawn["city"].to_pylist(), drawn["country"].to_pylist(), strict=True)) <= set(PLACES)
    assert 0.1 < sampler.rejected / sampler.drawn < 0.99
    unruled = Sampler(free, 3).rows(0, BLOCK_ROWS)
    broken = pc.less_equal(unruled["low"], unruled["high"]).false_count
    assert broken > 0
    again = Sampler(free, 3, rules=rules)
    assert again.rows(700, 90).equals(drawn.slice(700, 90))


def test_a_rule_that_nothing_keeps_is_refused_with_its_rate(free: Artefact) -> None:
    sampler = Sampler(free, 3, rules=[Among(columns=("city",), combinations=(("Berlin",),))])
    with pytest.raises(TerminalError, match="100 %") as refused:
        sampler.rows(0, 1)
    assert refused.value.code == "sample.rejected"


@pytest.mark.parametrize("rule", [Ordered(low="low", high="else"), Ordered(low="low", high="city")])
def test_a_rule_that_cannot_be_checked_is_refused(free: Artefact, rule: Ordered) -> None:
    with pytest.raises(TerminalError) as refused:
        Sampler(free, 3, rules=[rule]).rows(0, 1)
    assert refused.value.code == "sample.rule"


def test_strictly_below_is_not_equal(free: Artefact) -> None:
    drawn = Sampler(free, 3, rules=[Ordered(low="low", high="high", strict=True)]).rows(0, BLOCK_ROWS)
    assert pc.less(drawn["low"], drawn["high"]).false_count == 0


def test_seeds_come_back_and_the_rest_is_drawn_for_them(free: Artefact) -> None:
    count = BLOCK_ROWS + 10
    seeds = pa.table(
        {
            "city": pa.array(["Rome", "Elsewhere", "Bonn"] * count).slice(0, count),
            "low": pa.array(range(count), pa.int32()),
        }
    )
    drawn = Sampler(free, 3).complete(seeds, first=5)
    assert drawn.num_rows == count
    assert drawn["city"].equals(seeds["city"].combine_chunks())
    assert drawn["low"].equals(seeds["low"].combine_chunks())
    assert drawn["price"].null_count < count
    part = Sampler(free, 3).complete(seeds.slice(0, 20), first=5)
    assert part.equals(drawn.slice(0, 20))
    assert Sampler(free, 3).complete(seeds.slice(0, 0)).num_rows == 0


def test_what_a_seed_fixes_is_what_the_model_sees(free: Artefact) -> None:
    """Codes of seeds are those that the model's own rows have: completing drawn rows draws the same rows."""
    sampler = Sampler(free, 3)
    drawn = sampler.rows(0, BLOCK_ROWS)
    again = sampler.complete(drawn.select(["city", "country"]))
    assert again.equals(drawn)


def test_combinations_can_be_seeds(ruled: Artefact) -> None:
    seeds = pa.table({"city": ["Rome", "Bonn"], "country": ["IT", "DE"]})
    assert Sampler(ruled, 1).complete(seeds)["city"].to_pylist() == ["Rome", "Bonn"]
    with pytest.raises(TerminalError, match="together"):
        Sampler(ruled, 1).complete(seeds.select(["city"]))


@pytest.mark.parametrize(
    ("name", "values"), [("tags", ["{red}"]), ("nothing", [1]), ("price", [None]), ("begun", [None])]
)
def test_a_seed_that_the_model_has_nothing_for_is_refused(ruled: Artefact, name: str, values: list[Any]) -> None:
    with pytest.raises(TerminalError) as refused:
        Sampler(ruled, 1).complete(pa.table({name: pa.array(values)}))
    assert refused.value.code == "sample.seed"
