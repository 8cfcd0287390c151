"""Kernel of `mask.date`: a shift decided by the value, never none. The infinities stay."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import from_int64s, int64s
from tailrace_generator.kernels.canonical import iso, over_fitting
from tailrace_generator.kernels.gregorian import civil_of, days_of
from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tags import Tags
from tailrace_shared.generators import MaskColumn, MaskDate

Ints = npt.NDArray[np.int64]

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970: shifts that leave this range go the other way."""
TABLE_FIRST, TABLE_LAST = -16_436, 29_219
"""1925-01-01 to 2049-12-31: 0.2 MB per column, some 10 ms to fill once."""
FIRST_YEAR, LAST_YEAR = -4712, 294_275
"""Whole years that all of PostgreSQL's dates and timestamps hold (astronomical: 4713 BC is -4712)."""
DATE_TEXT = re.compile(r"(\d{4,})-(\d\d)-(\d\d)(.*?)( BC)?$")
TIME_TEXT = re.compile(r"24:00:00(?:\.0+)?$")


class DateKernel(Kernel):
    """Noise on dates, timestamps and times."""

    def __init__(self, spec: MaskDate, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._tags = Tags(column, secret)
        self._family = column.type.family
        self._table: npt.NDArray[np.int32] | None = None
        self._days, self._minutes, self._keep_time = spec.days, spec.minutes, spec.keep_time

    def mask(self, values: pa.Array) -> pa.Array:
        if pa.types.is_string(values.type):
            return over_fitting(self.column, values, self._written, self._misfits)
        return from_int64s(self._moved(values), values.type)

    def _written(self, values: pa.Array) -> pa.StringArray:
        moved = iso(from_int64s(self._moved(values), values.type))
        return pc.binary_join_element_wise(moved, "+00", "") if self._family == "timestamptz" else moved

    def _moved(self, values: pa.Array) -> Ints:
        """Counts of the type's unit after the shift."""
        at = int64s(values)
        if self._family == "date":
            return self._dates(at, values)
        words = self._tags(values)[:, 0]
        if self._family == "time":
            return (at + _shift(words, self._minutes) * MINUTE_US) % DAY_US
        shift = _shift(words, self._days) * DAY_US if self._keep_time else _shift(words, self._days * DAY_US)
        return _inside(at, shift, FIRST_DAY * DAY_US, (LAST_DAY + 1) * DAY_US - 1)

    def _dates(self, at: Ints, values: pa.Array) -> Ints:
        """Days of the years in common use by table, others one by one: the same function."""
        if int(at.min()) < TABLE_FIRST or int(at.max()) > TABLE_LAST:
            return self._shifted(at, values)
        if self._table is None:
            days = np.arange(TABLE_FIRST, TABLE_LAST + 1)
            self._table = self._shifted(days, from_int64s(days, values.type)).astype(np.int32)
        return self._table[at - TABLE_FIRST].astype(np.int64)

    def _shifted(self, at: Ints, values: pa.Array) -> Ints:
        return _inside(at, _shift(self._tags(values)[:, 0], self._days), FIRST_DAY, LAST_DAY)

    def _misfits(self, values: pa.StringArray) -> pa.StringArray:
        """Values that Arrow's types do not hold: rare, so one by one, each distinct one once."""
        coded = values.dictionary_encode()
        words = self._tags(coded.dictionary)[:, 0]
        moved = [self._misfit(v, words[i : i + 1]) for i, v in enumerate(coded.dictionary.to_pylist())]
        return pa.array(moved, pa.string()).take(coded.indices)

    def _misfit(self, value: str, word: npt.NDArray[np.uint64]) -> str:
        if value in ("infinity", "-infinity"):
            return value
        if self._family == "time":
            if not TIME_TEXT.match(value):
                raise self.unmaskable("it is not a time of day")
            return str(iso(pa.array((_shift(word, self._minutes) * MINUTE_US) % DAY_US).view(pa.time64("us")))[0])
        match = DATE_TEXT.match(value)
        if match is None:
            raise self.unmaskable("it is not a date")
        year, month, day = (int(part) for part in match.group(1, 2, 3))
        at = days_of(1 - year if match[5] else year, month, day)
        shift = int(_shift(word, self._days)[0])
        if not FIRST_YEAR <= civil_of(at + shift)[0] <= LAST_YEAR:
            shift = -shift
        year, month, day = civil_of(at + shift)
        era = " BC" if year < 1 else ""
        return f"{1 - year if era else year:04}-{month:02}-{day:02}{match[4]}{era}"


def _shift(words: npt.NDArray[np.uint64], most: int) -> Ints:
    """A whole number in -most … most, but never 0."""
    step = (words % np.uint64(2 * most)).astype(np.int64) - most
    return np.where(step < 0, step, step + 1)


def _inside(at: Ints, shift: Ints, first: int, last: int) -> Ints:
    """Shifted, the other way where it would leave the range."""
    moved = at + shift
    return np.where((moved < first) | (moved > last), at - shift, moved)
