"""Nanoseconds per value of every generator: ``python -m bench.kernels [--rows 16384] [--only mock.email]``.

One core, whole batches as the generator masks them, with the services' allocator settings. The best of several batches of CPU
time: other work on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tailrace_generator.kernels import MaskSecret, build
from tailrace_shared import malloc
from tailrace_shared.generators import GENERATORS, MaskColumn
from tailrace_shared.types import ColumnType, Family, arrow_type

SECRET = MaskSecret(bytes(range(32)))
LEAST_S = 0.4
"""Each kernel is measured for at least so long."""
LEAST_BATCHES = 5


class Values(NamedTuple):
    """A column's type, and its value of row i."""

    type: ColumnType
    value: Callable[[int], object]


def _type(base: str, family: Family, precision: int | None = None, scale: int | None = None) -> ColumnType:
    return ColumnType(name=base, base=base, family=family, precision=precision, scale=scale)


def _moment(row: int) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=61 * row)


def _person(row: int) -> str:
    return f"Given{row % 7919} Family{row % 104729} of the long house"


VALUES: dict[str, Values] = {
    "integer below 2^15": Values(_type("int4", "integer"), lambda row: row % 1000 + 1),
    "integer": Values(_type("int8", "integer"), lambda row: row * 7919 % 10**9 + (1 << 15)),
    "numeric(12,2)": Values(_type("numeric", "number", 12, 2), lambda row: Decimal(row * 7919 % 10**7) / 100),
    "double": Values(_type("float8", "float"), lambda row: row**0.5),
    "text, 15 bytes": Values(_type("text", "text"), lambda row: f"Anna Meyer {row % 10000}"),
    "text, 26 bytes": Values(_type("text", "text"), lambda row: f"person{row}@mail{row % 50}.example"),
    "text, 41 bytes": Values(_type("text", "text"), _person),
    "uuid": Values(_type("uuid", "uuid"), lambda row: (row * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16)),
    "date": Values(_type("date", "date"), lambda row: date(1940, 1, 1) + timedelta(days=row % 25000)),
    "timestamptz": Values(_type("timestamptz", "timestamptz"), _moment),
    "time": Values(_type("time", "time"), lambda row: _moment(row).time()),
}
TEXT = "text, 41 bytes"
CASES: tuple[tuple[str, dict[str, object], tuple[str, ...]], ...] = (
    ("key", {}, ("integer below 2^15", "integer", "numeric(12,2)", "uuid", "text, 15 bytes")),
    ("mask.text", {}, ("text, 15 bytes", "text, 41 bytes")),
    ("mask.hash", {}, ("text, 26 bytes", TEXT)),
    ("mask.number", {}, ("integer", "numeric(12,2)", "double")),
    ("mask.date", {}, ("date", "timestamptz", "time")),
    ("mock.first_name", {}, (TEXT,)),
    ("mock.last_name", {}, (TEXT,)),
    ("mock.full_name", {}, (TEXT,)),
    ("mock.email", {}, ("text, 26 bytes",)),
    ("mock.email", {"unique": True}, ("text, 26 bytes",)),
    ("mock.phone", {}, (TEXT,)),
    ("mock.phone", {"unique": True}, (TEXT,)),
    ("mock.company", {}, (TEXT,)),
    ("mock.street", {}, (TEXT,)),
    ("mock.city", {}, (TEXT,)),
    ("mock.postcode", {}, (TEXT,)),
)


def nanoseconds(generator: str, options: dict[str, object], values: Values, rows: int) -> float:
    """CPU time per value, the best batch."""
    spec = GENERATORS[generator].model_validate(options)
    column = MaskColumn(type=values.type, domain="bench", family=values.type.family)
    kernel = build(spec, column, SECRET)
    array = pa.array([values.value(row) for row in range(rows)], arrow_type(values.type))
    kernel(array)  # tables are made
    best, measured, batches = float("inf"), 0.0, 0
    while measured < LEAST_S or batches < LEAST_BATCHES:
        started = time.process_time_ns()
        kernel(array)
        spent = time.process_time_ns() - started
        best, measured, batches = min(best, spent / rows), measured + spent / 1e9, batches + 1
    return best


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=16_384)
    options.add_argument("--only", default="", help="generators whose name begins so")
    chosen = options.parse_args()
    malloc.tune()
    pa.set_cpu_count(1)
    np.seterr(all="raise")
    print(f"{'generator':24} {'values':20} {'ns per value':>12}   batches of {chosen.rows:,} rows")
    for generator, extra, names in CASES:
        if not generator.startswith(chosen.only):
            continue
        title = " ".join([generator, *extra])
        for name in names:
            print(f"{title:24} {name:20} {nanoseconds(generator, extra, VALUES[name], chosen.rows):12.0f}", flush=True)


if __name__ == "__main__":
    main()
