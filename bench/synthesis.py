"""Quality, cost and privacy of synthetic tables: ``python -m bench.synthesis [adult shoppers] [--tables FOLDER] [--seed 1]``.

A table is learned, as many rows are drawn as were learned, and both are compared; beside it a bootstrap of the real table, which
is what a perfect sampler would score. Needs torch and scikit-learn: ``make bench-synthesis`` sets both up, and the libraries to
one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from bench.fidelity import Kinds, Nearness, Rows, detection_auc, nearness, shape_error, trend_error, utility
from tailrace_generator.sampling import BLOCK_ROWS, Sampler
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.train import Course, train

TABLES = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "tables"
SAMPLED_BLOCKS = 30
SHUFFLE_SEED = 1234
LEARNED_SHARE = 0.9
TYPES = {
    "int64": ("int8", "integer"),
    "double": ("float8", "float"),
    "string": ("text", "text"),
    "bool": ("bool", "boolean"),
}
ADULT = Kinds(
    ("age", "fnlwgt", "education.num", "capital.gain", "capital.loss", "hours.per.week"),
    (
        "workclass",
        "education",
        "marital.status",
        "occupation",
        "relationship",
        "race",
        "sex",
        "native.country",
        "income",
    ),
    "income",
)
SHOPPERS = Kinds(
    (
        "Administrative", "Administrative_Duration", "Informational", "Informational_Duration", "ProductRelated",
        "ProductRelated_Duration", "BounceRates", "ExitRates", "PageValues", "SpecialDay",
    ),
    ("Month", "OperatingSystems", "Browser", "Region", "TrafficType", "VisitorType", "Weekend", "Revenue"),
    "Revenue",
)  # fmt: skip


class Split(NamedTuple):
    """A table as papers split it: learned rows, held-out rows, and what its columns are."""

    learned: pa.Table
    held_out: pa.Table
    kinds: Kinds


def adult(folder: Path) -> Split:
    """The census table with its official split; ``?`` is a category."""
    return Split(_read(folder / "adult" / "train.csv"), _read(folder / "adult" / "test.csv"), ADULT)


def shoppers(folder: Path) -> Split:
    """Shuffled by the seed of the papers, or the next one that leaves no category to the held-out rows alone."""
    table = _read(folder / "shoppers" / "shoppers.csv")
    size, seed = int(len(table) * LEARNED_SHARE), SHUFFLE_SEED
    while True:
        order = np.arange(len(table))
        np.random.RandomState(seed).shuffle(order)
        learned = table.take(order[:size])
        if all(len(learned[c].unique()) == len(table[c].unique()) for c in SHOPPERS.names):
            return Split(learned, table.take(order[size:]), SHOPPERS)
        seed += 1


DATASETS: dict[str, Callable[[Path], Split]] = {"adult": adult, "shoppers": shoppers}


def _read(path: Path) -> pa.Table:
    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(strings_can_be_null=False))


def columns(table: pa.Table) -> Rows:
    """A table as numpy arrays."""
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def subjects(table: pa.Table) -> list[Subject]:
    """What a table's columns are to the trainer."""
    found = []
    for field in table.schema:
        base, family = TYPES[str(field.type)]
        found.append(Subject(field.name, ColumnType(name=base, base=base, family=family), nullable=False))  # type: ignore[arg-type]
    return found


class Result(NamedTuple):
    """One line of the table that is printed."""

    shape: float
    trend: float
    trend_shared: float
    auc: float
    utility: float
    nearness: Nearness


def judge(split: Split, made: pa.Table) -> Result:
    """All measures of ``made`` rows."""
    real, other, kinds = columns(split.learned), columns(split.held_out), split.kinds
    rows = columns(made)
    return Result(
        shape_error(real, rows, kinds),
        trend_error(real, rows, kinds, shared=False),
        trend_error(real, rows, kinds, shared=True),
        detection_auc(real, rows, kinds),
        utility(rows, other, kinds),
        nearness(real, other, rows, kinds),
    )


def measure(name: str, split: Split, seed: int, privacy: Privacy) -> None:
    """Learn, draw, judge, print."""
    rows = len(split.learned)
    begun = time.process_time()
    model = train(split.learned, subjects(split.learned), Course(seed=seed, privacy=privacy), table=name)
    trained = time.process_time() - begun
    sampler = Sampler(Artefact.load(model.save()), seed)
    made = pa.Table.from_batches([sampler.rows(0, rows)])
    real = utility(columns(split.learned), columns(split.held_out), split.kinds)
    bootstrap = split.learned.take(np.random.default_rng(seed).integers(0, rows, rows))
    said = model.header.training
    private = f", epsilon = {privacy.epsilon:g}, delta = {privacy.delta:g}" if privacy.epsilon else ""
    print(
        f"\n{name}: {rows} rows, {len(model.header.order)} tokens, {len(model.data) / 1e6:.2f} MB, k = {privacy.k}{private}"
    )
    print(f"  training {trained:.1f} CPU-s (epoch {said.epochs} kept), sampling {_speed(sampler):,.0f} rows per CPU-s")
    print(f"  nats per row: {said.loss:.3f} learned, {said.held_out_loss:.3f} held out")
    print(
        f"  {'':12}{'Shape':>8}{'Trend':>8}{'shared':>8}{'AUC':>8}{'utility':>9}{'ratio':>8}{'DCR %':>8}{'ties':>7}{'copies':>8}"
    )
    for label, table in (("model", made), ("bootstrap", bootstrap)):
        r = judge(split, table)
        print(
            f"  {label:12}{r.shape:8.2f}{r.trend:8.2f}{r.trend_shared:8.2f}{r.auc:8.3f}{r.utility:9.4f}{r.utility / real:8.4f}"
            f"{r.nearness.share:8.1f}{r.nearness.ties:7.1f}{r.nearness.copies:8.2f}",
            flush=True,
        )


def _speed(sampler: Sampler) -> float:
    sampler.rows(0, BLOCK_ROWS)
    begun = time.process_time()
    sampler.rows(0, BLOCK_ROWS * SAMPLED_BLOCKS)
    return BLOCK_ROWS * SAMPLED_BLOCKS / (time.process_time() - begun)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the tables that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", help=f"of {', '.join(DATASETS)}; all without one")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder with adult/ and shoppers/")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--epsilon", type=float, help="differential privacy")
    parser.add_argument("--delta", type=float, default=1e-5)
    options = parser.parse_args(arguments)
    for name in options.datasets or DATASETS:
        privacy = Privacy(k=options.k, epsilon=options.epsilon, delta=options.delta)
        measure(name, DATASETS[name](options.tables), options.seed, privacy)


if __name__ == "__main__":
    main()
