"""Wire arrays as numbers, per family of types: what is learned is a float64 per row, and where there is one.

A batch with a value that its wire type cannot hold travels as text, so each family is read from both. Infinities become the
furthest finite value of the column, which clipping then cuts, and so do moments before year 1 and after year 9999; what is not
a number counts as missing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.types import ColumnType

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000
LARGEST = 1e300
"""Numbers beyond count as this: sums of theirs must not overflow."""
MONTH_DAYS = 30
"""As PostgreSQL compares intervals."""
INTERVAL = (
    r"^(?:(?P<years>[-+]?\d+) years? ?)?(?:(?P<months>[-+]?\d+) mons? ?)?(?:(?P<days>[-+]?\d+) days? ?)?"
    r"(?:(?P<sign>[-+])?(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)(?:\.(?P<fraction>\d+))?)?$"
)
MOMENTS = ("date", "timestamp", "timestamptz")
NUMBERS = ("integer", "number", "float", "time", "interval", *MOMENTS)


def numbers_of(values: pa.Array, column: ColumnType) -> tuple[Floats, Mask]:
    """Every row's number and whether it has one; the unit is the column's own, microseconds for times, intervals and moments."""
    return _finite(_numbers(values, column))


def finite_numbers_of(values: pa.Array, column: ColumnType) -> tuple[Floats, Mask]:
    """As ``numbers_of``, but infinities count as missing: so that no row's number depends on another row."""
    found = _numbers(values, column)
    finite = np.isfinite(found)
    return np.where(finite, np.clip(found, -LARGEST, LARGEST), found), finite


def _numbers(values: pa.Array, column: ColumnType) -> Floats:
    """NaN where there is none."""
    if column.family == "interval":
        return _intervals(values)
    if pa.types.is_string(values.type):
        return _from_text(values, column)
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
        return _floats(values) * DAY_US
    if pa.types.is_timestamp(values.type) or pa.types.is_time(values.type):
        return _floats(values.cast(pa.int64()) if pa.types.is_time(values.type) else values.view(pa.int64()))
    return _floats(values)


def _floats(values: pa.Array) -> Floats:
    cast = values.cast(pa.float64(), safe=False)  # beyond 2⁵³ an integer's neighbours are one number
    return np.asarray(pc.fill_null(cast, float("nan")).to_numpy(zero_copy_only=False), np.float64)


def _finite(values: Floats) -> tuple[Floats, Mask]:
    values = np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), values)
    known = ~np.isnan(values)
    finite = values[np.isfinite(values)]
    if len(finite) and len(finite) < int(known.sum()):
        values = np.clip(values, finite.min(), finite.max())
    return values, known & np.isfinite(values)


def _from_text(texts: pa.Array, column: ColumnType) -> Floats:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    if column.family in ("integer", "number", "float"):
        plain = pc.match_substring_regex(lower, r"^([-+]?[0-9.]+(e[-+]?[0-9]+)?|[-+]?inf(inity)?|nan)$")
        return _floats(pc.if_else(plain, lower, None).cast(pa.float64()))
    unending, before = _mask(pc.equal(lower, "infinity")), _mask(pc.equal(lower, "-infinity"))
    if column.family == "time":
        day = pc.match_substring_regex(lower, r"^\d\d:\d\d:\d\d(\.\d{1,6})?$")
        text = pc.binary_join_element_wise("1970-01-01 ", pc.if_else(day, lower, None), "")
        midnight = _mask(pc.equal(lower, "24:00:00"))
        found = _moments(pc.if_else(pc.match_substring_regex(lower, "^24"), None, text))
        return np.where(midnight, DAY_US, found)
    plain = pc.match_substring_regex(lower, r"^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?)?(\+00(:00)?|z)?$")
    text = pc.replace_substring_regex(pc.if_else(plain, lower, None), r"(\+00(:00)?|z)$", "")
    found = _moments(text)
    late = pc.match_substring_regex(lower, r"^\d{5,}-[^b]*$")
    early = pc.match_substring_regex(lower, r"bc$")
    found = np.where(unending | _mask(late), np.inf, found)
    return np.where(before | _mask(early), -np.inf, found)


def _mask(found: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False))


def _moments(texts: pa.Array) -> Floats:
    return _floats(texts.cast(pa.timestamp("us")).view(pa.int64()))


def _intervals(texts: pa.Array) -> Floats:
    found = pc.extract_regex(texts.cast(pa.string()), INTERVAL)
    matched = _mask(pc.is_valid(found))

    def part(name: str) -> Floats:
        text = pc.struct_field(found, name)
        return np.nan_to_num(_floats(pc.if_else(pc.equal(text, ""), None, text).cast(pa.float64())))

    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.struct_field(found, "fraction"), 6, "0"), 0, 6)
    micro = np.nan_to_num(_floats(fraction.cast(pa.float64())))
    clock = ((part("hours") * 60 + part("minutes")) * 60 + part("seconds")) * 1e6 + micro
    negative = _mask(pc.equal(pc.struct_field(found, "sign"), "-"))
    days = (part("years") * 12 + part("months")) * MONTH_DAYS + part("days")
    return np.where(matched, days * DAY_US + np.where(negative, -clock, clock), np.nan)
