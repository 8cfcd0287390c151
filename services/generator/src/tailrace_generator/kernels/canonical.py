"""Canonical text: equal values (as the column's equality sees them) have one text, whatever their type or representation.

| family | canonical text |
|---|---|
| integer | decimal |
| number | decimal without trailing zeros; −0 is 0; ``NaN``, ``Infinity`` as PostgreSQL writes them |
| float | shortest digits that round-trip in the column's own width; −0 is 0 |
| text | as it is; ``bpchar`` right-trimmed; lower-cased where equality ignores case |
| uuid | lower case, with hyphens |
| date, timestamp, time | ISO; fractions always six digits; ``timestamptz`` in UTC; what Arrow cannot hold as PostgreSQL writes it |
| others | as PostgreSQL writes them |

Case is folded by simple lower-casing, one character for one, as ``lower()`` and citext do under most collations; full case
folding (ß to ss) would make texts equal that PostgreSQL keeps apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import fixed_strings, merge, words_of
from tailrace_shared.generators import MaskColumn
from tailrace_shared.types import arrow_type

HEX = np.frombuffer(b"".join(b"%02x" % i for i in range(256)), np.uint8).reshape(256, 2)
UUID_HYPHENS = (8, 13, 18, 23)

FITS = {
    "date": r"^\d{4}-\d\d-\d\d$",
    "timestamp": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?$",
    "timestamptz": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:?\d\d)?$",
    "time": r"^([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?$",
}
"""PostgreSQL's ISO text of the values that Arrow's types hold; years of other than four digits stay text."""


def canonical(column: MaskColumn, values: pa.Array) -> pa.StringArray:
    """Canonical texts of values without nulls, in the column's wire type or as PostgreSQL's text."""
    family = column.type.family
    if pa.types.is_string(values.type):
        if family == "text":
            return _text(column, values)
        if family in ("integer", "number"):
            return plain_number(values)
        if family == "float":
            return _float(values.cast(arrow_type(column.type)))
        if family == "uuid":
            return pc.ascii_lower(values)
        if family in FITS:
            return _temporal(column, values)
        return values
    if family == "number":
        return plain_number(decimal_text(values))
    if family == "float":
        return _float(values)
    if family == "uuid":
        return uuid_text(values)
    if family == "boolean":
        return pc.if_else(values, "t", "f")
    return iso(values)


def _text(column: MaskColumn, values: pa.StringArray) -> pa.StringArray:
    if column.type.base == "bpchar":
        values = pc.utf8_rtrim(values, characters=" ")
    return pc.utf8_lower(values) if column.folded or column.type.folded else values


def decimal_text(values: pa.Array) -> pa.StringArray:
    """Decimals with all their fractional digits, never in scientific notation."""
    written = values.cast(pa.string())
    if values.type.scale < 7 or not pc.any(scientific := pc.match_substring(written, "E")).as_py():
        return written
    rows = np.flatnonzero(scientific.to_numpy(zero_copy_only=False))
    coded = values.take(pa.array(rows)).dictionary_encode()
    plain = pa.array([format(value, "f") for value in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)
    others = np.flatnonzero(~scientific.to_numpy(zero_copy_only=False))
    return merge([(rows, plain), (others, written.take(pa.array(others)))], len(values))


def plain_number(values: pa.StringArray) -> pa.StringArray:
    """Decimal texts without trailing zeros of the fraction, and without a negative zero."""
    if pc.any(fraction := pc.match_substring(values, ".")).as_py():
        trimmed = pc.utf8_rtrim(pc.utf8_rtrim(values, characters="0"), characters=".")
        values = pc.if_else(fraction, trimmed, values)
    return pc.if_else(pc.equal(values, "-0"), "0", values)


def _float(values: pa.Array) -> pa.StringArray:
    return pc.add(values, pa.scalar(0.0, values.type)).cast(pa.string())  # -0 + 0 is 0


def iso(values: pa.Array) -> pa.StringArray:
    """Integers, dates, times and timestamps (in UTC, without a zone) as text."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us"))
    return values.cast(pa.string())


def uuid_text(values: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """36 characters each."""
    digits = HEX[words_of(values).view(np.uint8)].reshape(-1, 32)
    out = np.full((len(values), 36), ord("-"), np.uint8)
    kept = [i for i in range(36) if i not in UUID_HYPHENS]
    out[:, kept] = digits
    return fixed_strings(out)


def _temporal(column: MaskColumn, values: pa.StringArray) -> pa.StringArray:
    return over_fitting(column, values, iso, lambda misfits: misfits)


def over_fitting(
    column: MaskColumn,
    values: pa.StringArray,
    fitting: Callable[[pa.Array], pa.StringArray],
    misfits: Callable[[pa.StringArray], pa.StringArray],
) -> pa.StringArray:
    """Date and time texts: those that the wire type holds go through ``fitting`` typed, the others through ``misfits``."""
    fits = pc.match_substring_regex(values, FITS[column.type.family]).to_numpy(zero_copy_only=False)
    wire = arrow_type(column.type)
    if column.type.base == "timetz":
        return misfits(values)
    if fits.all():
        return fitting(_parse(values, wire))
    inside, outside = np.flatnonzero(fits), np.flatnonzero(~fits)
    parts = [(outside, misfits(values.take(pa.array(outside))))]
    if len(inside):
        parts.append((inside, fitting(_parse(values.take(pa.array(inside)), wire))))
    return merge(parts, len(values))


def _parse(values: pa.StringArray, wire: pa.DataType) -> pa.Array:
    """ISO texts as their Arrow type; Arrow reads no time of day by itself."""
    if not pa.types.is_time(wire):
        return values.cast(wire)
    day = pc.binary_join_element_wise(pa.scalar("1970-01-01"), values, " ")
    return day.cast(pa.timestamp("us")).view(pa.int64()).view(wire)
