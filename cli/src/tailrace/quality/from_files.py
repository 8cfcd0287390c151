"""Two Parquet files instead of two databases: the real rows, and rows that a model has drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tailrace.quality.columns import Column, Kind, size_of, some
from tailrace.quality.judge import Subject, halves, judge
from tailrace.quality.model import QualityReport, worst
from tailrace.quality.queries import TEXT_CHARS
from tailrace.quality.treatment import Treatment
from tailrace_shared.errors import UsageError

LEARNED: Final = "ai"
MICROSECONDS: Final = 1e6


def quality_of_files(
    real: Path, made: Path, held_out: Sequence[str], target: str | None, *, rows: int, seed: int, k: int
) -> QualityReport:
    """The report of the columns that both files have. ``held_out`` names a file of real rows that nothing was learned from.

    Raises UsageError for files that cannot be read, have no column in common, or too few rows.
    """
    if len(held_out) > 1:
        raise UsageError("quality.option", "files have one --held-out, a file of rows", "Name one Parquet file.")
    sides = [_table(path) for path in (real, made, *map(Path, held_out))]
    kinds = {name: kind_of(sides[0].schema.field(name).type) for name in sides[0].schema.names}
    for path, side in zip((made, *held_out), sides[1:], strict=True):
        others = {name: kind_of(side.schema.field(name).type) for name in side.schema.names}
        kinds = {name: kind for name, kind in kinds.items() if others.get(name) == kind}
        if not kinds:
            raise UsageError(
                "quality.files",
                f"{real} and {path} have no column of one name and kind",
                "Compare a table with its own.",
            )
    rng = np.random.default_rng(seed)
    before, there, *out = ({name: column_of(side.column(name), kind) for name, kind in kinds.items()} for side in sides)
    if size_of(before) < 2 or not size_of(there):
        raise UsageError("quality.files", "one of the files has no rows to compare", "Name files with rows.")
    first, other = halves(some(before, 2 * rows, rng), rng)
    subject = Subject(
        made.stem,
        True,
        tuple(_treatment(name, str(sides[0].schema.field(name).type), kind) for name, kind in kinds.items()),
        first,
        other,
        some(there, rows, rng),
        held_out=some(out[0], rows, rng) if out else None,
        target=target,
        estimated=(size_of(before), size_of(there)),
        notes=_left_out(sides[0].schema.names, kinds),
    )
    table = judge(subject, seed=seed, k=k)
    return QualityReport(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        job=made.stem, source=real.name, destination=made.name, seed=seed, k=k, verdict=worst(table.gates),
        why_no_run="of two files", tables=(table,),
    )  # fmt: skip


def kind_of(wire: pa.DataType) -> Kind:
    """How a column of a file is looked at."""
    if pa.types.is_integer(wire) or pa.types.is_floating(wire) or pa.types.is_decimal(wire):
        return "number"
    if pa.types.is_temporal(wire) and not pa.types.is_interval(wire):
        return "moment"
    if pa.types.is_boolean(wire) or pa.types.is_string(wire) or pa.types.is_large_string(wire):
        return "name"
    return "name" if pa.types.is_dictionary(wire) else "opaque"


def column_of(values: pa.ChunkedArray, kind: Kind) -> Column:
    """A column of a file, as the measures see it."""
    array = values.combine_chunks()
    if kind == "number":
        return Column(kind, numbers=_floats(array))
    if kind == "moment":
        return Column(kind, numbers=_floats(_microseconds(array)) / MICROSECONDS)
    try:
        texts = array.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        texts = pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    return Column(kind, texts=pc.utf8_slice_codeunits(texts, 0, TEXT_CHARS))


def _microseconds(array: pa.Array) -> pa.Array:
    if pa.types.is_date(array.type):
        return array.cast(pa.timestamp("us")).cast(pa.int64())
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us", tz=array.type.tz), safe=False).cast(pa.int64())
    unit = pa.time64("us") if pa.types.is_time(array.type) else pa.duration("us")
    return array.cast(unit, safe=False).cast(pa.int64())


def _floats(array: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    cast = array.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(cast, float("nan")).to_numpy(zero_copy_only=False), np.float64)


def _treatment(name: str, type_name: str, kind: Kind) -> Treatment:
    return Treatment(name, type_name, LEARNED, False, kind, "counts" if kind == "opaque" else "values")


def _left_out(names: Sequence[str], kinds: dict[str, Kind]) -> tuple[str, ...]:
    missing = [name for name in names if name not in kinds]
    return (f"Not compared, since the files differ in them: {', '.join(missing)}.",) if missing else ()


def _table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no Parquet"
        raise UsageError("quality.files", f"{path} cannot be read ({why})", "Name a Parquet file.") from None
