"""Differential privacy: what a row can change is bounded in every release, gradients are cut row by row, noise is as accounted."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.synthesis.conftest import make_subject

from tailrace_generator.sampling import BLOCK_ROWS, Sampler
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Artefact, CategoryColumn, Privacy
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.numbers import NARROW
from tailrace_trainer.learning.private.columns import learn_private, units
from tailrace_trainer.learning.private.release import Release

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("opacus") is None,
    reason="torch and opacus are not in this environment: make test-synthesis has them",
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Learning in this process turns off denormal numbers, which other tests want."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


ROWS = 3_000
SIGMA = 3.0
CANARY = "Zacharias Canary"


class Quiet:
    """Randomness without noise, which tells what noise would have been added to."""

    def __init__(self) -> None:
        self.said: list[float] = []

    def normal(self, mean: float, sigma: float, size: int) -> np.ndarray[Any, Any]:
        self.said.append(sigma)
        return np.zeros(size)

    def uniform(self, low: float, high: float, size: int) -> np.ndarray[Any, Any]:
        return np.random.default_rng(1).uniform(low, high, size)


class Watched(Release):
    """Keeps the counts of every release."""

    def counts(self, codes: Any, size: int) -> Any:
        found = super().counts(codes, size)
        COUNTS.append(found.copy())
        return found


COUNTS: list[np.ndarray[Any, Any]] = []


def columns() -> list[tuple[Subject, pa.Array]]:
    rng = np.random.default_rng(4)
    some = rng.random(ROWS) < 0.1
    amount = np.round(rng.lognormal(4, 2, ROWS), 2)
    amount[rng.random(ROWS) < 0.4] = 0
    moments = rng.integers(1_500_000_000, 1_600_000_000, ROWS) * 1_000_000
    codes = np.array([f"ID-{n:06}" for n in rng.integers(0, 10**6, ROWS)])
    words = np.array([f"w{n} {n}x und {'so ' * (n % 5)}" for n in rng.integers(0, 10**8, ROWS)])
    return [
        (make_subject("kind", "text"), pa.array(rng.choice(["a", "b", "c"], ROWS).tolist(), mask=some)),
        (make_subject("mood", "mood", False), pa.array(rng.choice(["x", "y"], ROWS).tolist())),
        (make_subject("flag", "bool"), pa.array(rng.random(ROWS) < 0.3)),
        (make_subject("code", "text"), pa.array(codes.tolist())),
        (make_subject("note", "text"), pa.array(words.tolist())),
        (make_subject("few", "int4"), pa.array(rng.integers(0, 5, ROWS).astype(np.int32), mask=some)),
        (make_subject("amount", "float8"), pa.array(np.where(some, -amount, amount))),
        (make_subject("big", "int8", False), pa.array(rng.integers(0, 10**12, ROWS))),
        (make_subject("at", "timestamp"), pa.array(moments).view(pa.timestamp("us"))),
        (make_subject("day", "date"), pa.array((moments // 86_400_000_000).astype(np.int32)).view(pa.date32())),
        (make_subject("id", "uuid"), pa.array([b"x" * 16] * ROWS, pa.binary(16), mask=some)),
    ]


def watched() -> tuple[Watched, Quiet]:
    quiet = Quiet()
    return Watched(SIGMA, 1e-7, 5, ROWS, quiet), quiet  # type: ignore[arg-type]


@pytest.mark.parametrize(("subject", "values"), columns(), ids=lambda value: getattr(value, "name", ""))
def test_a_row_changes_one_cell_by_one_and_releases_stay_within_their_units(subject: Subject, values: pa.Array) -> None:
    found = []
    for rows in (values, values.slice(0, ROWS - 1)):
        COUNTS.clear()
        release, quiet = watched()
        learned = learn_private(subject, rows, Privacy(k=5), NARROW, release)
        found.append([counts.copy() for counts in COUNTS])
        spent = sum((SIGMA / sigma) ** 2 for sigma in quiet.said)
        assert spent <= units(subject) + 1e-9
        assert learned.learned.codes
    assert len(found[0]) == len(found[1])
    for more, less in zip(*found, strict=True):
        if len(more) != len(less):  # a value that only the last row has: the others' counts stay
            assert len(more) == len(less) + 1
            assert np.array_equal(more[:-1], less)
        else:
            assert np.abs(more - less).sum() <= 1


@pytest.mark.parametrize(("subject", "values"), columns(), ids=lambda value: getattr(value, "name", ""))
def test_what_is_drawn_is_like_the_rows(subject: Subject, values: pa.Array) -> None:
    release = Release(SIGMA, 1e-7, 5, ROWS, np.random.default_rng(2))
    column = learn_private(subject, values, Privacy(k=5), NARROW, release)
    for token, codes, share in zip(column.learned.encoding.tokens(), column.learned.codes, column.shares, strict=True):
        assert len(share) == token.codes
        assert share.sum() == pytest.approx(1)
        assert codes.max() < token.codes
        ours = np.bincount(codes[codes >= 0], minlength=token.codes) / (codes >= 0).sum()
        assert np.abs(ours - share).sum() / 2 < 0.1  # bins of few rows, each with noise


def test_a_value_of_one_row_is_never_found_and_a_frequent_one_is() -> None:
    values = pa.array(["often"] * 200 + [CANARY])
    for seed in range(50):
        release = Release(SIGMA, 1e-7, 2, 201, np.random.default_rng(seed))
        labels, counts, places = release.found(values)
        assert labels.to_pylist() == ["often"]
        assert abs(counts[0] - 200) < 6 * SIGMA
        assert (places == [0] * 200 + [-1]).all()


def test_an_outlier_moves_no_edge() -> None:
    values = np.random.default_rng(1).normal(100, 10, ROWS)
    values[7] = 1e15
    release = Release(SIGMA, 1e-7, 5, ROWS, np.random.default_rng(2))
    column = learn_private(make_subject("x", "float8", False), pa.array(values), Privacy(k=5), NARROW, release)
    assert column.learned.tensors["number.knots"].max() < 300


@needs_torch
@pytest.mark.parametrize(("epsilon", "rows"), [(0.5, 30_000), (3.0, 30_000), (8.0, 2_000)])
def test_noise_is_what_the_accountant_asks_for(epsilon: float, rows: int) -> None:
    from opacus.accountants import RDPAccountant

    from tailrace_trainer.learning.private.budget import THRESHOLD_SHARE, budget

    rate, steps, delta = 1_024 / rows, 200, 1e-5
    found = budget(epsilon, delta, units=40, columns=10, rate=rate, steps=steps)
    accountant = RDPAccountant()
    accountant.history = [(found.gradient, rate, steps), (found.histogram, 1.0, 40)]
    spent = accountant.get_epsilon(delta * (1 - THRESHOLD_SHARE))
    assert 0.9 * epsilon < spent <= epsilon * 1.001
    assert found.delta_found * 10 == pytest.approx(delta * THRESHOLD_SHARE)


@needs_torch
@pytest.mark.parametrize("bounded", [False, True])
def test_gradients_are_cut_row_by_row(bounded: bool) -> None:
    import torch

    from tailrace_shared.synthesis import Shape
    from tailrace_trainer.learning.net import Net

    sizes, given = [3, 12, 5], (4, 2)
    contexts = ((0, 1), (1, 2), (0, 2, 3)) if bounded else None
    net = Net(
        Shape(hidden=6, widths=(2, 2, 3, 4, 2), contexts=contexts), sizes, [np.full(size, 1 / size) for size in sizes],
        [None] * 5, torch.Generator().manual_seed(2), given,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    codes = torch.from_numpy(np.stack([rng.integers(0, size, 20) for size in (*given, *sizes)], axis=1))
    codes[::3, 3] = -1

    def of_rows(rows: Any, norm_max: float) -> list[Any]:
        return net.gradients(net.forward(rows), norm_max)

    def one(gradients: list[Any]) -> Any:
        return torch.cat([gradient.reshape(-1) for gradient in gradients])

    expected = torch.autograd.grad(net.forward(codes).loss, net.parameters(), allow_unused=True)
    filled = [torch.zeros_like(w) if g is None else g for w, g in zip(net.parameters(), expected, strict=True)]
    assert torch.allclose(one(of_rows(codes, 1e9)), one(filled), atol=1e-4)
    whole = [one(of_rows(codes[place : place + 1], 1e9)) for place in range(20)]
    norm_max = float(np.median([float(row.norm()) for row in whole]))
    cut = [row * min(1.0, norm_max / float(row.norm())) for row in whole]
    assert torch.allclose(one(of_rows(codes, norm_max)), sum(cut), atol=1e-4)


def private_table() -> tuple[pa.Table, list[Subject]]:
    found = columns()[:8]
    table = pa.table({subject.name: values for subject, values in found})
    notes = table["kind"].to_pylist()
    notes[5] = CANARY
    return table.set_column(0, "kind", pa.array(notes)), [subject for subject, _ in found]


@needs_torch
def test_a_private_model_is_drawn_from_like_any_other_and_tells_no_loss() -> None:
    from tailrace_trainer.learning.train import Course, train

    table, subjects = private_table()
    course = Course(seed=1, privacy=Privacy(k=5, epsilon=8.0, delta=1e-5))
    model = Artefact.load(train(table, subjects, course, table="t").save())
    said = model.header.training
    assert (said.loss, said.held_out_loss, said.digest) == (0, 0, "")
    assert model.header.privacy.epsilon == 8
    assert CANARY.encode() not in model.data
    _counted_again(model)
    kinds = next(column for column in model.header.columns if column.columns == ("kind",))
    assert isinstance(kinds, CategoryColumn)
    assert set(kinds.labels) == {"a", "b", "c"}
    drawn = Sampler(model, 1).rows(0, BLOCK_ROWS)
    for name in ("kind", "flag", "few"):
        sides = (table[name].to_pylist(), drawn[name].to_pylist())
        ours, theirs = ({v: side.count(v) / len(side) for v in set(side)} for side in sides)
        assert sum(abs(ours.get(v, 0) - theirs.get(v, 0)) for v in ours | theirs) / 2 < 0.06


def _counted_again(model: Artefact) -> None:
    """What the model says was spent is what it promises, by Opacus' own accountant."""
    from opacus.accountants import RDPAccountant

    from tailrace_trainer.learning.private.budget import THRESHOLD_SHARE

    account, privacy = model.header.training.account, model.header.privacy
    assert account is not None
    assert privacy.epsilon is not None
    accountant = RDPAccountant()
    accountant.history = [
        (account.noise, account.sampling_rate, account.steps),
        (account.histogram_noise, 1.0, int(account.histogram_units)),
    ]
    assert (
        0.9 * privacy.epsilon < accountant.get_epsilon(privacy.delta * (1 - THRESHOLD_SHARE)) <= privacy.epsilon * 1.001
    )


@needs_torch
def test_entities_of_many_rows_count_once_and_sequences_are_refused() -> None:
    from tailrace_trainer.learning.private.table import learn_private_table
    from tailrace_trainer.learning.sequence import Ties
    from tailrace_trainer.learning.train import Course, train_sequence

    table, subjects = private_table()
    owners = pa.array(np.arange(ROWS) // 6)
    found = learn_private_table(table, subjects, Privacy(k=5, epsilon=8.0), entity=owners)
    assert len(found.coded.codes) == ROWS // 6
    again = learn_private_table(table, subjects, Privacy(k=5, epsilon=8.0), entity=owners)
    assert any(  # noise that a seed decides could be taken away
        len(ours) != len(theirs) or (ours != theirs).any()
        for ours, theirs in zip(found.shares, again.shares, strict=False)
    )
    with pytest.raises(TerminalError) as refused:
        train_sequence(
            table,
            table,
            (subjects, subjects),
            Ties("big", "big"),
            Course(seed=1, privacy=Privacy(epsilon=1.0)),
            tables=("t", "e"),
        )
    assert refused.value.code == "trainer.private-sequence"
