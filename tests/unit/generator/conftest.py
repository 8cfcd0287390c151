"""What kernel tests share: a fixed secret, columns by type name, texts as wire arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from tailrace_generator.kernels import Kernel, MaskSecret, build
from tailrace_shared.generators import MaskColumn, parse_rule
from tailrace_shared.types import ColumnType, arrow_type

FAMILIES = {
    "int2": "integer", "int4": "integer", "int8": "integer", "numeric": "number", "float4": "float", "float8": "float",
    "text": "text", "varchar": "text", "bpchar": "text", "citext": "text", "name": "text", "uuid": "uuid",
    "date": "date", "timestamp": "timestamp", "timestamptz": "timestamptz", "time": "time", "timetz": "time",
    "bool": "boolean", "bytea": "bytes", "jsonb": "json", "interval": "interval",
}  # fmt: skip


def make_column(base: str, **options: Any) -> MaskColumn:
    """A column by type name; ``length``, ``precision`` and ``scale`` belong to the type, the rest to the column."""
    of_type = {key: options.pop(key) for key in ("length", "precision", "scale") if key in options}
    kind = ColumnType(name=base, base=base, family=FAMILIES[base], folded=base == "citext", **of_type)
    return MaskColumn(**{"type": kind, "domain": "test", "family": kind.family, **options})


def make_typed(column: MaskColumn, texts: Sequence[str | None]) -> pa.Array:
    """PostgreSQL's texts in the column's wire type."""
    wire = arrow_type(column.type)
    if wire == pa.binary(16):
        return pa.array([None if text is None else UUID(text).bytes for text in texts], wire)
    if pa.types.is_time(wire):
        day = pa.array([None if text is None else f"1970-01-01 {text}" for text in texts], pa.string())
        return day.cast(pa.timestamp("us")).view(pa.int64()).view(wire)
    return pa.array(texts, pa.string()).cast(wire)


@pytest.fixture(scope="session")
def secret() -> MaskSecret:
    return MaskSecret(bytes(range(32)))


@pytest.fixture(scope="session")
def column() -> Callable[..., MaskColumn]:
    return make_column


@pytest.fixture(scope="session")
def typed() -> Callable[[MaskColumn, Sequence[str | None]], pa.Array]:
    return make_typed


@pytest.fixture(scope="session")
def kernel(secret: MaskSecret) -> Callable[[Any, MaskColumn], Kernel]:
    """A kernel by rule and column."""
    return lambda rule, filled: build(parse_rule(rule), filled, secret)
