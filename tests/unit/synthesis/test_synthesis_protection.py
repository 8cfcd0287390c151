"""A model is opened, and what it holds is proved to stand for k distinct entities; planted outliers are not in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Artefact, CategoryColumn, Number, PatternColumn, Privacy
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.protection import Entities, bounds, smoothed

K = 10
ROWS = 4_000
PLANTED = 987_654_321.5
CANARY = "Zacharias Canary"


def table(rng: np.random.Generator) -> dict[str, pa.Array]:
    amounts = rng.lognormal(5, 1, ROWS).round(2)
    amounts[:3], amounts[3:6] = PLANTED, -PLANTED
    counts = rng.poisson(3, ROWS)
    counts[7] = 4_444
    names = rng.choice(["ann", "bob", "eve"], ROWS).astype(object)
    names[11:14] = CANARY
    codes = np.array([f"ID-{n:06}" for n in rng.integers(0, 10**6, ROWS)], object)
    codes[17] = f"{CANARY}!"
    moments = rng.integers(1_500_000_000, 1_600_000_000, ROWS) * 1_000_000
    moments[19] = 4_000_000_000_000_000
    north = rng.normal(50, 0.1, ROWS)
    north[23] = -77.123
    return {
        "amount": pa.array(amounts), "count": pa.array(counts), "name": pa.array(names, pa.string()),
        "code": pa.array(codes, pa.string()), "at": pa.array(moments).view(pa.timestamp("us")),
        "lat": pa.array(north), "lon": pa.array(rng.normal(10, 0.1, ROWS)),
    }  # fmt: skip


BASES = {
    "amount": "float8", "count": "int8", "name": "text", "code": "text", "at": "timestamp", "lat": "float8", "lon": "float8",
}  # fmt: skip


def windows(ordered: np.ndarray, ids: np.ndarray | None, k: int) -> np.ndarray:  # type: ignore[type-arg]
    """Means of all runs of neighbouring values with at least k distinct entities: of k rows each where a row is an entity."""
    assert ids is None
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    return np.concatenate([(sums[size:] - sums[:-size]) / size for size in range(k, k + 3)])


def test_every_value_of_a_model_stands_for_k_entities(
    subject: Callable[..., Subject], untrained: Callable[..., Artefact]
) -> None:
    values = table(np.random.default_rng(2))
    model = untrained(pa.table(values), [subject(name, base, False) for name, base in BASES.items()], Privacy(k=K))
    header, tensors = Artefact.load(model.data).header, model.tensors
    numbers = {"amount": values["amount"].to_numpy(), "count": values["count"].to_numpy().astype(float)}
    moments = values["at"].cast(pa.int64()).to_numpy()
    numbers["at.day"], numbers["at.clock"] = np.floor(moments / 86_400e6), moments % 86_400_000_000
    checked = 0
    for place, column in enumerate(header.columns):
        (name, *_) = column.columns
        if isinstance(column, CategoryColumn):
            found = values[name].to_pylist()
            assert column.labels
            assert all(found.count(label) >= K for label in column.labels)
        elif isinstance(column, PatternColumn):
            assert column.patterns == ("AA-000000",)
        else:
            parts = {
                part: number
                for part in ("number", "day", "clock")
                if isinstance(number := getattr(column, part, None), Number)
            }
            for part in parts:
                real = numbers[name if part == "number" else f"{name}.{part}"]
                checked += prove_number(tensors, f"c{place}.{part}", real)
    assert checked > 300


def prove_number(tensors: object, name: str, real: np.ndarray) -> int:  # type: ignore[type-arg]
    """Atoms are held by k rows; knots are means over k neighbours among what is no atom, extremes cut. Returns how many."""
    atoms, knots = tensors.get(f"{name}.atoms"), tensors.get(f"{name}.knots")  # type: ignore[attr-defined]
    checked = 0
    for atom in [] if atoms is None else atoms:
        assert (real == atom).sum() >= K
        checked += 1
    if knots is None:
        return checked
    rest = np.sort(real[~np.isin(real, [] if atoms is None else atoms)])
    for k in range(K, K + 3):  # the threshold in force is not recorded
        low, high = bounds(rest, Entities(None, k))
        means = np.sort(windows(np.clip(rest, low, high), None, k))
        at = np.clip(np.searchsorted(means, knots.ravel()), 1, len(means) - 1)
        nearest = np.minimum(np.abs(means[at] - knots.ravel()), np.abs(means[at - 1] - knots.ravel()))
        if (nearest <= 1e-9 * np.abs(knots).max()).all():
            return checked + knots.size
    pytest.fail(f"{name} holds a knot that is no mean over {K} neighbours")


def test_planted_outliers_are_nowhere(subject: Callable[..., Subject], untrained: Callable[..., Artefact]) -> None:
    values = table(np.random.default_rng(2))
    model = untrained(pa.table(values), [subject(name, base, False) for name, base in BASES.items()], Privacy(k=K))
    assert CANARY.encode() not in model.data
    assert b"Zacharias" not in model.data
    for name, tensor in model.tensors.items():
        if name.startswith("c"):
            assert np.abs(tensor[np.isfinite(tensor)]).max() < 1e12
    column = {c.columns[0]: place for place, c in enumerate(model.header.columns)}
    amounts = np.concatenate([t.ravel() for n, t in model.tensors.items() if n.startswith(f"c{column['amount']}.")])
    assert amounts.min() > -1
    assert amounts.max() < 1e5
    assert model.tensors[f"c{column['count']}.number.atoms"].max() < 20
    assert model.tensors[f"c{column['at']}.day.knots"].max() < 20_000
    assert model.tensors[f"c{column['lat']}.boxes"][..., :2].min() > 49


def test_one_row_more_or_less_moves_a_knot_by_little(
    subject: Callable[..., Subject], untrained: Callable[..., Artefact]
) -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1, 3_000)
    changed = values.copy()
    changed[5] = 1e9
    knots = [
        untrained(pa.table({"x": pa.array(side)}), [subject("x", "float8", False)]).tensors["c0.number.knots"]
        for side in (values, changed)
    ]
    assert knots[0].shape == knots[1].shape
    assert np.abs(knots[0] - knots[1]).max() < 0.3


@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_means_are_over_k_distinct_entities_however_rows_belong_together(seed: int, k: int, rows_each: int) -> None:
    rng = np.random.default_rng(seed)
    rows = 40 * k
    ordered = np.sort(rng.normal(0, 1, rows))
    ids = np.sort(rng.integers(0, max(3 * k, rows // rows_each), rows))  # neighbours in value are often the same entity
    entities = Entities(ids.astype(np.int64), k)
    ranks = np.arange(0, rows, 7)
    found = smoothed(ordered, entities, ranks)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    ends = np.arange(rows + 1)
    means = (sums[None, :] - sums[:, None]) / np.maximum(ends[None, :] - ends[:, None], 1)
    for value in np.unique(found):
        begin, end = np.nonzero(np.triu(np.abs(means - value) < 1e-9, 1))
        assert any(len(np.unique(ids[b:e])) >= k for b, e in zip(begin, end, strict=True))
    assert (np.diff(found) >= 0).all()


def test_an_entity_with_many_rows_counts_once(
    subject: Callable[..., Subject], untrained: Callable[..., Artefact]
) -> None:
    rng = np.random.default_rng(6)
    owners = np.concatenate([rng.integers(0, 500, 3_000), np.full(400, 7)])
    names = np.concatenate([rng.choice(["a", "b"], 3_000), np.full(400, "only-seven")]).astype(object)
    amounts = np.concatenate([rng.normal(0, 1, 3_000), np.full(400, 555.5)])
    model = untrained(
        pa.table({"name": pa.array(names, pa.string()), "amount": pa.array(amounts)}),
        [subject("name", "text", False), subject("amount", "float8", False)],
        Privacy(k=K),
        entity=pa.array(owners),
    )
    assert b"only-seven" not in model.data
    assert max(float(t.max()) for n, t in model.tensors.items() if n.startswith("c1.")) < 10


def test_too_few_rows_are_refused(subject: Callable[..., Subject], untrained: Callable[..., Artefact]) -> None:
    with pytest.raises(TerminalError) as refused:
        untrained(pa.table({"x": pa.array(range(20))}), [subject("x", "int8")])
    assert refused.value.code == "trainer.few-rows"
