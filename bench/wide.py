"""Memory, time and fidelity by a table's size: ``python -m bench.wide [300000x30 20000x500] [--epochs 3]``.

Tables are made up: a few hidden factors, and columns that depend on some of them, half numbers and half names. Each size is
learned and drawn in a process of its own, whose peak of resident memory is reported, libraries and the table itself included; the
factors make neighbours of columns that are far apart, which a bounded context has to find. Needs torch: ``make bench-synthesis``
sets it up.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from bench.fidelity import Kinds, shape_error, trend_error

FACTORS = 12
NAMES = 8
COMPARED = 40
"""Columns among which pairs are compared: all pairs of 500 would take longer than learning them."""
SAMPLED_BLOCKS = 5
MEGABYTE_KIB = 1024


def table(rows: int, columns: int, seed: int) -> pa.Table:
    """Numbers (rounded to hundredths) and names, each of two of the factors and its own noise."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(0, 1, (FACTORS, rows)).astype(np.float32)
    made: dict[str, pa.Array] = {}
    for place in range(columns):
        first, second = rng.choice(FACTORS, 2, replace=False)
        value = factors[first] + 0.5 * factors[second] + 0.5 * rng.normal(0, 1, rows).astype(np.float32)
        if place % 2:
            cut = np.quantile(value[:10_000], np.arange(1, NAMES) / NAMES)
            codes = np.searchsorted(cut, value).astype(np.int32)
            made[f"n{place}"] = pa.DictionaryArray.from_arrays(codes, [f"v{i}" for i in range(NAMES)]).cast(pa.string())
        else:
            made[f"x{place}"] = pa.array(np.round(np.exp(value).astype(np.float64), 2))
    return pa.table(made)


def measure(rows: int, columns: int, epochs: int, seed: int) -> None:
    """Learn and draw one size in this process, and print what it took."""
    from bench.synthesis import columns as arrays
    from bench.synthesis import subjects
    from tailrace_generator.sampling import BLOCK_ROWS, Sampler
    from tailrace_shared.synthesis import Artefact
    from tailrace_trainer.learning.train import Course, train

    made = table(rows, columns, seed)
    before, begun = _peak(), time.process_time()
    model = train(made, subjects(made), Course(seed=seed, epochs_max=epochs), table="made")
    trained, peak = time.process_time() - begun, _peak()
    sampler = Sampler(Artefact.load(model.save()), seed)
    begun = time.process_time()
    drawn = pa.Table.from_batches([sampler.rows(0, BLOCK_ROWS * SAMPLED_BLOCKS)])
    speed = BLOCK_ROWS * SAMPLED_BLOCKS / (time.process_time() - begun)
    shape, said = model.header.network, model.header.training
    context = "all" if shape.contexts is None else str(max(map(len, shape.contexts)))
    chosen = made.column_names[:: max(1, columns // COMPARED)][:COMPARED]
    names = tuple(name for name in chosen if name[0] == "n") or (made.column_names[1],)
    kinds = Kinds(tuple(name for name in chosen if name[0] == "x"), names, names[0])
    ours, theirs = arrays(made.select([*kinds.numbers, *kinds.names]).slice(0, 50_000)), arrays(drawn)
    shuffled = np.random.default_rng(seed)
    again = shuffled.integers(0, min(rows, 50_000), drawn.num_rows)
    bootstrap = {name: column[again] for name, column in ours.items()}
    alone = {name: shuffled.permutation(column) for name, column in bootstrap.items()}
    print(
        f"{rows} rows x {columns}: {len(model.header.order)} tokens, hidden {shape.hidden}, context {context}, "
        f"{len(model.data) / 1e6:.2f} MB\n"
        f"  peak {peak:.0f} MB ({before:.0f} MB of it libraries and the table), {trained:.0f} CPU-s for {said.epochs} epochs of "
        f"{epochs} and calibration; sampling {speed:,.0f} rows per CPU-s\n"
        f"  Shape {shape_error(ours, theirs, kinds):.2f}, Trend (shared) {trend_error(ours, theirs, kinds, shared=True):.2f} "
        f"(as many real rows: "
        f"{trend_error(ours, bootstrap, kinds, shared=True):.2f}; columns on their own: "
        f"{trend_error(ours, alone, kinds, shared=True):.2f})",
        flush=True,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE_KIB


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["300000x30", "20000x500"], help="ROWSxCOLUMNS")
    parser.add_argument("--epochs", type=int, default=3, help="at most; memory does not depend on it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for size in options.sizes:
        if options.here:
            rows, columns = map(int, size.split("x"))
            measure(rows, columns, options.epochs, options.seed)
            continue
        command = [sys.executable, "-m", "bench.wide", size, "--here", "--epochs", str(options.epochs)]
        subprocess.run([*command, "--seed", str(options.seed)], check=True)


if __name__ == "__main__":
    main()
