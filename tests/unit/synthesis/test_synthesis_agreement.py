"""The network that learns and the one that samples are the same function, for narrow tables and for wide ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from tailrace_generator.sampling import Sampler
from tailrace_shared.synthesis import Artefact, Header, Network, Privacy, Training
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.sizes import shape_of
from tailrace_trainer.learning.table import CodedTable, learn_table

torch = pytest.importorskip("torch", reason="torch is not in this environment: make test-synthesis has one")
ROWS = 600


@pytest.fixture(scope="module")
def coded(subject: Callable[..., Subject]) -> CodedTable:
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, ROWS)
    columns = {
        f"n{i}": pa.array(np.round(base + rng.normal(0, 0.5, ROWS), 3), mask=rng.random(ROWS) < 0.2) for i in range(4)
    }
    columns |= {
        f"c{i}": pa.array(np.where(base + rng.normal(0, 0.5, ROWS) > 0, "yes", "no").tolist()) for i in range(4)
    }
    subjects = [subject(name, "float8" if name[0] == "n" else "text") for name in columns]
    return learn_table(pa.table(columns), subjects, Privacy(k=5), np.random.default_rng(1))


@pytest.mark.parametrize("bytes_max", [5_000_000, 20_000])
def test_losses_agree(coded: CodedTable, bytes_max: int) -> None:
    from tailrace_trainer.learning.net import Net

    sizes = [token.codes for token in coded.tokens]
    shape = shape_of(coded.codes, sizes, coded.parents, bytes_max)
    assert (shape.contexts is None) == (bytes_max > 1_000_000)
    marginals = [np.full(size, 1 / size) for size in sizes]
    net = Net(shape, sizes, marginals, coded.ranks, torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = float(net.loss(torch.from_numpy(coded.codes).long()))
    training = Training(rows=ROWS, held_out=0, seed=0, epochs=0, loss=0, held_out_loss=0, digest=coded.digest)
    header = Header(
        version="0",
        table="t",
        columns=coded.columns,
        order=coded.order,
        network=shape,
        privacy=Privacy(k=5),
        training=training,
    )
    artefact = Artefact.load(Artefact(header, {**coded.tensors, **net.tensors(net.parameters())}).data)
    found = Network(artefact, ROWS).likelihoods(np.ascontiguousarray(coded.codes.T.astype(np.int32)))
    assert -found.mean() == pytest.approx(expected, rel=2e-3)
    assert Sampler(artefact, 1).rows(0, 10).num_rows == 10
