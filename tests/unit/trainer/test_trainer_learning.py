"""Learning with torch: dependence is learned, the same seed gives the same model, a child can be cancelled and bounded."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from tailrace_generator.sampling import BLOCK_ROWS, Sampler, SequenceSampler
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_shared.types import ColumnType
from tailrace_trainer.apprentice import learn, learn_sequence
from tailrace_trainer.request import LearnColumn, LearnEvents, LearnRequest, Progress

TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not TORCH, reason="torch is not in this environment: make test-synthesis has one")
MEMORY = 4 << 30


def rows(count: int = 4_000) -> pa.Table:
    rng = np.random.default_rng(12)
    kind = rng.integers(0, 3, count)
    amount = np.round(np.array([10.0, 100.0, 1_000.0])[kind] * rng.lognormal(0, 0.3, count), 2)
    amount[:3] = 87_654_321.5
    paid = rng.random(count) < np.array([0.1, 0.5, 0.9])[kind]
    return pa.table(
        {"kind": pa.array(np.array(["a", "b", "c"])[kind].tolist()), "amount": pa.array(amount), "paid": pa.array(paid)}
    )


def request(**options: Any) -> LearnRequest:
    columns = [("kind", "text", "text"), ("amount", "float8", "float"), ("paid", "bool", "boolean")]
    learned = tuple(
        LearnColumn(name=n, type=ColumnType(name=b, base=b, family=f), nullable=False)  # type: ignore[arg-type]
        for n, b, f in columns
    )
    return LearnRequest(
        **{"table": "t", "columns": learned, "seed": 4, "bytes_max": 5_000_000, "epochs_max": 12, **options}
    )


async def learned(asked: LearnRequest, said: Callable[[Progress], None] = lambda progress: None) -> Artefact:
    return await asyncio.wait_for(learn(asked, rows(), memory_max=MEMORY, on_progress=said), 170)


@needs_torch
async def test_a_model_has_the_dependence_of_its_rows_and_no_outlier() -> None:
    progress: list[Progress] = []
    model = await learned(request(), progress.append)
    assert progress
    assert progress[-1].loss < progress[0].loss
    drawn = Sampler(model, 1).rows(0, 2 * BLOCK_ROWS)
    kinds, paid = np.array(drawn["kind"].to_pylist()), drawn["paid"].to_numpy(zero_copy_only=False)
    amount = drawn["amount"].to_numpy()
    for kind, share, middle in (("a", 0.1, 10), ("b", 0.5, 100), ("c", 0.9, 1_000)):
        assert paid[kinds == kind].mean() == pytest.approx(share, abs=0.05)
        assert np.median(amount[kinds == kind]) == pytest.approx(middle, rel=0.15)
    assert amount.max() < 10_000
    said = model.header.training
    assert said.rows + said.held_out == 4_000
    assert 0 < said.loss <= said.held_out_loss + 0.1


@needs_torch
async def test_the_same_seed_gives_the_same_model() -> None:
    first, second = await learned(request(epochs_max=2)), await learned(request(epochs_max=2))
    other = await learned(request(epochs_max=2, seed=5))
    assert first.digest == second.digest
    assert first.digest != other.digest


@needs_torch
async def test_entities_and_events_are_learned_together() -> None:
    rng = np.random.default_rng(3)
    club = rng.random(600) < 0.5
    owners = np.repeat(np.arange(600), rng.poisson(np.where(club, 6, 1)))
    kinds, kind = [], 0
    for place, owner in enumerate(owners):  # mostly the same as the one before
        kind = kind if place and owner == owners[place - 1] and rng.random() < 0.9 else int(rng.integers(0, 3))
        kinds.append("abc"[kind])
    people = pa.table({"id": pa.array(range(600)), "club": pa.array(club)})
    events = pa.table({"person": pa.array(owners), "day": pa.array(np.arange(len(owners))), "kind": pa.array(kinds)})
    boolean, integer, text = (
        ColumnType(name=b, base=b, family=f)  # type: ignore[arg-type]
        for b, f in (("bool", "boolean"), ("int8", "integer"), ("text", "text"))
    )
    asked = LearnRequest(
        table="people", columns=(LearnColumn(name="club", type=boolean, nullable=False),), seed=1, bytes_max=5_000_000,
        epochs_max=30,
        events=LearnEvents(
            table="events", key="id", foreign_key="person", order="day",
            columns=(
                LearnColumn(name="day", type=integer, nullable=False), LearnColumn(name="kind", type=text, nullable=False)
            ),
        ),
    )  # fmt: skip
    model = await asyncio.wait_for(
        learn_sequence(asked, people, events, memory_max=MEMORY, on_progress=lambda progress: None), 170
    )
    sampler = SequenceSampler(model, 2)
    drawn, counts = sampler.events(0, BLOCK_ROWS), sampler.counts(0, BLOCK_ROWS)
    members = sampler.entities(0, BLOCK_ROWS)["club"].to_numpy(zero_copy_only=False)
    assert counts[members].mean() == pytest.approx(6, rel=0.15)
    assert counts[~members].mean() == pytest.approx(1, rel=0.3)
    what = np.array(drawn.batch["kind"].to_pylist())
    same = (what[1:] == what[:-1])[drawn.owners[1:] == drawn.owners[:-1]].mean()
    assert same == pytest.approx(0.93, abs=0.06)


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process(os.getpid()).children() if "tailrace_trainer.child" in p.cmdline()]


@needs_torch
async def test_cancelling_kills_the_child() -> None:
    begun = asyncio.Event()
    asked = request(epochs_max=1_000)
    task = asyncio.create_task(learn(asked, rows(), memory_max=MEMORY, on_progress=lambda progress: begun.set()))
    await asyncio.wait_for(begun.wait(), 120)
    assert children()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not children()


async def test_a_child_that_grows_too_large_is_ended_and_called_that() -> None:
    with pytest.raises(TerminalError) as ended:
        await learn(request(), rows(), memory_max=10 << 20, on_progress=lambda progress: None)
    assert ended.value.code == "trainer.memory"
    assert not children()


async def test_a_killed_child_is_worth_another_try() -> None:
    task = asyncio.create_task(learn(request(epochs_max=1_000), rows(), memory_max=MEMORY, on_progress=lambda p: None))
    async with asyncio.timeout(60):
        while not children():
            await asyncio.sleep(0.02)
    children()[0].kill()
    with pytest.raises(TransientError) as ended:
        await task
    assert ended.value.code == "trainer.child"
    assert "SIGKILL" in ended.value.message


@pytest.mark.skipif(TORCH, reason="this environment has torch")
async def test_without_torch_the_trainer_says_so() -> None:
    with pytest.raises(TerminalError) as refused:
        await learn(request(), rows(), memory_max=MEMORY, on_progress=lambda progress: None)
    assert refused.value.code == "trainer.no-torch"


@needs_torch
async def test_what_cannot_be_learned_is_refused_by_the_child() -> None:
    asked = request(privacy=Privacy(k=1_000))
    with pytest.raises(TerminalError) as refused:
        await learn(asked, rows(), memory_max=MEMORY, on_progress=lambda progress: None)
    assert refused.value.code == "trainer.few-rows"


def test_only_learning_imports_torch() -> None:
    root = Path(__file__).resolve().parents[3]
    users = {
        str(path.relative_to(root))
        for path in [
            *root.glob("shared/src/**/*.py"),
            *root.glob("services/*/src/**/*.py"),
            *root.glob("cli/src/**/*.py"),
        ]
        if "import torch" in path.read_text()
    }
    allowed = ("fit", "net", "train", "private/fit")
    assert users == {f"services/trainer/src/tailrace_trainer/learning/{name}.py" for name in allowed}
