"""Numbers as arrays in a column's wire type."""

from __future__ import annotations

from datetime import time
from decimal import Context, Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.synthesis.quantity import digits_of
from tailrace_shared.types import ColumnType, arrow_type

Values = npt.NDArray[np.float64]
Nulls = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000
DECIMAL_DIGITS_MAX = 18
"""Digits of a decimal that fit into 64 bits; a float64 has fewer that mean anything."""
MIDDLE_DIGITS = 400
"""Of the longest float64, written out to the places of a numeric."""
INTEGER_MAX = {"int2": (1 << 15) - 1, "int4": (1 << 31) - 1, "int8": (1 << 63) - 1024}
"""Of int8 the largest that a float64 holds exactly below the limit."""


def wire_array(values: Values, nulls: Nulls | None, column: ColumnType, step: float) -> pa.Array:
    """``values`` (microseconds for times, intervals and moments) in the column's wire type, NULL where ``nulls`` says so."""
    wire, family = arrow_type(column), column.family
    if family == "interval":
        return _intervals(values, nulls)
    if family == "date":
        return pa.array(np.rint(values / DAY_US).astype(np.int32), pa.int32(), mask=nulls).view(wire)
    if family in ("timestamp", "timestamptz"):
        return pa.array(np.rint(values).astype(np.int64), mask=nulls).view(wire)
    if family == "time":
        return pa.array(np.clip(np.rint(values), 0, DAY_US - 1).astype(np.int64), mask=nulls).view(wire)
    if family == "integer":
        most = INTEGER_MAX[column.base]
        whole = np.rint(np.clip(values, -most - 1, most)).astype(np.int64)
        return pa.array(whole.astype(wire.to_pandas_dtype()), wire, mask=nulls)
    if family == "number":
        return _decimals(values, nulls, column, step)
    return pa.array(values.astype(wire.to_pandas_dtype()), wire, mask=nulls)


def of_texts(texts: pa.Array, wire: pa.DataType) -> pa.Array:
    """Values of a wire type from their texts. Raises ValueError (ArrowInvalid is one) for a text that is none."""
    if pa.types.is_time(wire):  # Arrow reads no times
        return pa.array([None if text is None else time.fromisoformat(text) for text in texts.to_pylist()], wire)
    return texts.cast(wire)


def _decimals(values: Values, nulls: Nulls | None, column: ColumnType, step: float) -> pa.Array:
    typed = pa.types.is_decimal(arrow_type(column))
    scale = (column.scale or 0) if typed else digits_of(step)
    precision = (column.precision or 38) if typed else DECIMAL_DIGITS_MAX
    if np.abs(values).max(initial=0.0) * 10.0**scale >= 10.0**DECIMAL_DIGITS_MAX:
        array = _long_decimals(values, column, scale)
    else:
        limit = 10.0 ** min(DECIMAL_DIGITS_MAX, precision) - 1
        whole = np.rint(np.clip(values * 10.0**scale, -limit, limit)).astype(np.int64)
        halves = np.empty((len(whole), 2), np.int64)
        halves[:, 0], halves[:, 1] = whole, whole >> 63
        array = pa.Array.from_buffers(pa.decimal128(38, scale), len(whole), [None, pa.py_buffer(halves)])
        array = array.cast(arrow_type(column)) if typed else array.cast(pa.string())
    return array if nulls is None else pc.if_else(pa.array(nulls), pa.scalar(None, array.type), array)


def _long_decimals(values: Values, column: ColumnType, scale: int) -> pa.Array:
    """Decimals of more digits than 64 bits hold: one by one, the shortest that are the float64."""
    wire = arrow_type(column)
    exact = Context(prec=MIDDLE_DIGITS)
    unit = Decimal(1).scaleb(-scale)
    found = [exact.quantize(Decimal(repr(value)), unit) for value in values.tolist()]
    if not pa.types.is_decimal(wire):
        return pa.array([format(value, "f") for value in found], pa.string())
    most = Decimal(10) ** (wire.precision - wire.scale) - unit
    return pa.array([max(-most, min(most, value)) for value in found], wire)


def _intervals(values: Values, nulls: Nulls | None) -> pa.Array:
    whole = np.rint(values).astype(np.int64)
    days, rest = np.divmod(np.abs(whole), DAY_US)
    clock = pa.array(rest).view(pa.time64("us")).cast(pa.string())
    clock = pc.replace_substring_regex(clock, r"\.?0*$", "") if not (rest % 1_000_000).any() else clock
    sign = pa.array(np.where(whole < 0, "-", ""))
    texts = pc.binary_join_element_wise(
        sign, pc.cast(pa.array(days), pa.string()), pa.scalar(" days "), sign, clock, ""
    )
    texts = pc.if_else(pa.array(days == 0), pc.binary_join_element_wise(sign, clock, ""), texts)
    return texts if nulls is None else pc.if_else(pa.array(nulls), pa.scalar(None, pa.string()), texts)
