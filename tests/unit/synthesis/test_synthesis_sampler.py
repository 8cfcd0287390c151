"""The sampler: rows by ordinal however they are cut, marginals of what was learned, nothing but numpy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.sampling import BLOCK_ROWS, Sampler, numeric_fingerprint
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Artefact, Header, Privacy
from tailrace_shared.synthesis.conditions import Between, Condition, Weighted, exact
from tailrace_shared.synthesis.draws import chances, even, independent, pick
from tailrace_trainer.learning.columns import Subject

ROWS = 5_000


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng = np.random.default_rng(8)
    missing = rng.random(ROWS) < 0.2
    return pa.table(
        {
            "kind": pa.array(rng.choice(["a", "b", "c", "rare"], ROWS, p=[0.6, 0.3, 0.0995, 0.0005]).tolist()),
            "flag": pa.array(rng.random(ROWS) < 0.1),
            "amount": pa.array(np.where(rng.random(ROWS) < 0.5, 0.0, rng.lognormal(3, 1, ROWS).round(2)), mask=missing),
            "day": pa.array(rng.integers(15_000, 18_000, ROWS).astype(np.int32)).view(pa.date32()),
            "constant": pa.array(["x"] * ROWS),
            "nothing": pa.array([None] * ROWS, pa.int32()),
        }
    )


@pytest.fixture(scope="module")
def model(rows: pa.Table, subject: Callable[..., Subject], untrained: Callable[..., Artefact]) -> Artefact:
    bases = {"kind": "text", "flag": "bool", "amount": "float8", "day": "date", "constant": "text", "nothing": "int4"}
    subjects = [subject(name, base, name in ("amount", "nothing")) for name, base in bases.items()]
    return untrained(rows, subjects, calibrated=True)


@given(st.integers(0, 3 * BLOCK_ROWS), st.lists(st.integers(0, 3_000), min_size=1, max_size=4))
@settings(max_examples=4, deadline=None)
def test_a_row_is_the_same_however_ordinals_are_cut(model: Artefact, first: int, lengths: list[int]) -> None:
    whole = Sampler(model, 3).rows(first, sum(lengths))
    sampler, at, parts = Sampler(model, 3), first, []
    for length in lengths:
        parts.append(sampler.rows(at, length))
        at += length
    assert pa.Table.from_batches(parts).combine_chunks().equals(pa.Table.from_batches([whole]).combine_chunks())


def test_seed_model_and_block_decide_the_rows(model: Artefact) -> None:
    assert Sampler(model, 3).rows(0, 500).equals(Sampler(Artefact.load(model.save()), 3).rows(0, 500))
    assert not Sampler(model, 4).rows(0, 500).equals(Sampler(model, 3).rows(0, 500))
    other = Artefact(model.header.model_copy(update={"table": "other"}), model.tensors)
    assert not Sampler(other, 3).rows(0, 500).equals(Sampler(model, 3).rows(0, 500))
    assert not Sampler(model, 3).rows(0, 500).equals(Sampler(model, 3).rows(BLOCK_ROWS, 500))


def shares(values: pa.Array) -> dict[object, float]:
    counts = pc.value_counts(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    return {pair["values"].as_py(): pair["counts"].as_py() / len(values) for pair in counts}


def test_marginals_are_those_of_the_rows(model: Artefact, rows: pa.Table) -> None:
    drawn = pa.Table.from_batches([Sampler(model, 9).rows(0, 6 * BLOCK_ROWS)])
    assert drawn.schema.types == rows.schema.types
    for name in ("kind", "flag"):
        ours, theirs = shares(rows[name]), shares(drawn[name])
        assert "rare" not in theirs
        assert sum(abs(ours.get(v, 0) - theirs.get(v, 0)) for v in ours | theirs) / 2 < 0.006
    for name in ("amount", "day"):
        assert drawn[name].null_count / len(drawn) == pytest.approx(rows[name].null_count / ROWS, abs=0.006)
        ours, theirs = (
            np.sort(t[name].drop_null().cast(pa.float64() if name == "amount" else pa.int32()).to_numpy())
            for t in (rows, drawn)
        )
        grid = np.concatenate([ours, theirs])
        below = [np.searchsorted(side, grid, side="right") / len(side) for side in (ours, theirs)]
        assert np.abs(below[0] - below[1]).max() < 0.012
    assert set(drawn["constant"].to_pylist()) == {"x"}
    assert drawn["nothing"].null_count == len(drawn)


def test_without_stratification_rows_are_independent_draws(model: Artefact) -> None:
    counts = [pc.sum(Sampler(model, seed, stratified=False).rows(0, BLOCK_ROWS)["flag"]).as_py() for seed in range(5)]
    even_counts = [pc.sum(Sampler(model, seed).rows(0, BLOCK_ROWS)["flag"]).as_py() for seed in range(5)]
    assert np.std(counts) > np.std(even_counts)


@given(st.integers(2, 60), st.integers(0, 2**32))
@settings(max_examples=15)
def test_a_code_without_weight_is_never_picked(codes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((codes, 512)) * 30).astype(np.float32)
    barred = int(rng.integers(0, codes))
    for uniforms in (np.ones(512, np.float32), np.full(512, 1e-30, np.float32), even(rng, 512), independent(rng, 512)):
        weights = chances(logits.copy(), barred)
        assert (pick(weights, uniforms) != barred).all()


@pytest.mark.parametrize("draw", [even, independent])
def test_picks_follow_their_weights(draw: Callable[..., np.ndarray]) -> None:  # type: ignore[type-arg]
    weights = np.repeat(np.array([[1.0], [2.0], [5.0]], np.float32), 40_000, axis=1)
    picked = pick(weights, draw(np.random.default_rng(1), 40_000))
    assert np.bincount(picked) / 40_000 == pytest.approx([0.125, 0.25, 0.625], abs=0.01)


def test_likelihoods_sum_to_one_over_all_rows(
    subject: Callable[..., Subject], untrained: Callable[..., Artefact]
) -> None:
    from tailrace_shared.synthesis import Network

    rng = np.random.default_rng(3)
    small = pa.table({name: pa.array(rng.choice(["a", "b", "c"], 500).tolist()) for name in ("x", "y")})
    network = Network(untrained(small, [subject("x", "text", False), subject("y", "text", False)]), 9)
    every = np.array([[a, b] for a in range(3) for b in range(3)], np.int32).T
    assert np.exp(network.likelihoods(np.ascontiguousarray(every))).sum() == pytest.approx(1, abs=1e-5)


def test_conditions_hold_on_every_row(model: Artefact) -> None:
    conditions = [
        Weighted(column="kind", weights={"a": 1, "c": 1}),
        Between(column="amount", low=5, high=20),
        Weighted(column="flag", weights={"true": 1}),
    ]
    drawn = Sampler(model, 2, conditions=conditions).rows(0, 1_000)
    assert set(drawn["kind"].to_pylist()) <= {"a", "c"}
    assert all(drawn["flag"].to_pylist())
    assert drawn["amount"].null_count == 0
    assert 5 <= pc.min(drawn["amount"]).as_py() <= 6
    assert 19 <= pc.max(drawn["amount"]).as_py() <= 20


def test_weights_are_relative_to_what_the_model_draws(model: Artefact) -> None:
    ours = shares(Sampler(model, 2).rows(0, BLOCK_ROWS)["kind"])
    doubled = Weighted(column="kind", weights={"a": 2, "b": 1, "c": 1})
    theirs = shares(Sampler(model, 2, conditions=[doubled]).rows(0, BLOCK_ROWS)["kind"])
    assert theirs["a"] == pytest.approx(2 * ours["a"] / (1 + ours["a"]), abs=0.02)
    null = Sampler(model, 2, conditions=[Weighted(column="amount", weights={None: 1})]).rows(0, 100)
    assert null["amount"].null_count == 100


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (Weighted(column="kind", weights={"unknown": 1}), "no value"),
        (Weighted(column="kind", weights={"rare": 1}), "no value"),
        (Weighted(column="day", weights={"2020-01-01": 1}), "moment"),
        (Weighted(column="amount", weights={"many": 1}), "no number"),
        (Between(column="kind", low=1), "no number"),
        (Between(column="amount", low=1e9), "no value"),
        (Between(column="else", low=1), "else"),
    ],
)
def test_a_condition_that_cannot_be_met_is_refused(model: Artefact, condition: Condition, word: str) -> None:
    with pytest.raises(TerminalError, match=word) as refused:
        Sampler(model, 2, conditions=[condition])
    assert refused.value.code == "sample.condition"


def test_conditions_are_exact_on_columns_that_are_drawn_first(
    rows: pa.Table, subject: Callable[..., Subject], untrained: Callable[..., Artefact]
) -> None:
    subjects = [subject("kind", "text"), subject("flag", "bool"), subject("amount", "float8")]
    ordered = untrained(rows, subjects, first=["amount"])
    assert exact(ordered.header, ["amount"])
    assert not exact(ordered.header, ["kind"])
    assert exact(ordered.header, ["amount", "flag", "kind"])


def test_a_damaged_or_foreign_model_is_refused(model: Artefact) -> None:
    missing = {name: tensor for name, tensor in model.tensors.items() if name != "n0.mid"}
    wrong = {**model.tensors, "n0.mid": np.zeros((3, 3), np.float16)}
    unknown = {**model.tensors, "n0.mid": np.full_like(model.tensors["n0.mid"], np.nan)}
    for tensors in (missing, wrong, unknown, {**model.tensors, "more": np.zeros(1)}):
        with pytest.raises(TerminalError) as refused:
            Artefact.load(Artefact(model.header, tensors).data)
        assert refused.value.code == "model.format"
    newer = model.data.replace(b'{\\"format\\":1,', b'{\\"format\\":2,')
    assert newer != model.data
    with pytest.raises(TerminalError) as refused:
        Artefact.load(newer)
    assert refused.value.code == "model.version"
    with pytest.raises(TerminalError) as refused:
        model.save(1_000)
    assert refused.value.code == "model.too-large"


def test_a_header_whose_tokens_look_ahead_is_refused(model: Artefact) -> None:
    text = model.header.model_dump()
    with pytest.raises(ValueError, match="disagree"):
        Header.model_validate({**text, "order": text["order"][1:]})
    tokens = len(text["order"])
    network = {**text["network"], "contexts": [[1], *[[]] * (tokens - 1)]}
    with pytest.raises(ValueError, match="look ahead"):
        Header.model_validate({**text, "network": network})


def test_wide_tables_see_a_bounded_context(subject: Callable[..., Subject], untrained: Callable[..., Artefact]) -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 4, 400)
    columns = {f"c{i}": pa.array(np.where(rng.random(400) < 0.8, base, rng.integers(0, 4, 400))) for i in range(180)}
    wide = untrained(pa.table(columns), [subject(name, "int4", False) for name in columns], Privacy(k=5))
    contexts = wide.header.network.contexts
    assert contexts is not None
    assert max(map(len, contexts)) <= 32
    assert Sampler(wide, 1).rows(0, 10).num_columns == 180
    assert len(wide.save()) < 7_000_000


def test_the_fingerprint_is_stable_and_sampling_brings_no_torch() -> None:
    program = (
        "import sys; from tailrace_generator.sampling import numeric_fingerprint; print(numeric_fingerprint());"
        "sys.exit('torch' in sys.modules or 'tailrace_trainer' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == numeric_fingerprint()


def test_products_take_one_thread() -> None:
    program = (
        "import time, numpy as np; from tailrace_shared.synthesis.threads import one_thread; set_ = one_thread();"
        "a = np.ones((700, 700), np.float32); a @ a; wall, cpu = time.perf_counter(), time.process_time();"
        "[a @ a for _ in range(40)]; print(set_, (time.process_time() - cpu) / (time.perf_counter() - wall))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    told, share = found.stdout.split()
    if told == "False":
        pytest.skip("this numpy is not built on OpenBLAS")
    assert float(share) < 1.1
