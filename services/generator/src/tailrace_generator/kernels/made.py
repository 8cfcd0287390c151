"""Kernels of the indexed generators `make.…`: a draw below the number of values, and the values by their index."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import fixed_strings, from_int64s
from tailrace_generator.kernels.draws import (
    Draw,
    Indexes,
    Ordinals,
    Source,
    central,
    digit,
    even,
    weighted,
)
from tailrace_generator.kernels.maker import Maker, nulled, value_of
from tailrace_generator.kernels.noise import decimal_texts
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_shared.generators import (
    Made,
    MakeBoolean,
    MakeChoice,
    MakeDate,
    MakeNumber,
    MakePattern,
    MakeSequence,
    MakeWords,
    MaskColumn,
)
from tailrace_shared.plan.model import Slot

SECOND_US = 1_000_000
TEXT_CHARS_MAX = 15
"""Digits of a pattern drawn at once."""
WORDS = (
    "amber", "anchor", "apple", "arrow", "autumn", "basil", "beacon", "birch", "blossom", "bridge", "bright", "canyon",
    "cedar", "circle", "clear", "cloud", "cobalt", "copper", "coral", "cotton", "crystal", "dawn", "delta", "desert",
    "early", "ember", "falcon", "fern", "field", "forest", "garden", "gentle", "glacier", "golden", "granite", "harbor",
    "hazel", "honey", "island", "ivory", "jasmine", "juniper", "lagoon", "lantern", "lemon", "lively", "maple", "marble",
    "meadow", "mint", "morning", "ocean", "olive", "orchard", "pebble", "pine", "quiet", "river", "silver", "summit",
    "timber", "valley", "willow", "winter",
)  # fmt: skip


class Indexed(Maker):
    """A draw, then its value; NULL by share."""

    def __init__(self, spec: Made, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)
        self._source = Source(secret, column.domain)
        self._nulls = spec.null_share
        size = spec.space(column) or 1
        self._draw: Draw = digit(secret, slot) if slot else self.draw(self._source, size)

    def draw(self, source: Source, size: int) -> Draw:
        """How the values are distributed where no unique index decides."""
        return even(source, size)

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        values = self.values(self._draw(ordinals))
        return nulled(values, self._source.nulls(ordinals, self._nulls)) if self._nulls else values

    @abstractmethod
    def values(self, indexes: Indexes) -> pa.Array:
        """The values by their indexes."""


class BooleanMaker(Indexed):
    def __init__(self, spec: MakeBoolean, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        self._share = spec.share
        super().__init__(spec, column, secret, slot)

    def draw(self, source: Source, size: int) -> Draw:
        share = self._share
        return lambda ordinals: (source.unit(ordinals, 1) < share).astype(np.int64)

    def values(self, indexes: Indexes) -> pa.Array:
        return pa.array(indexes == 1)


class ChoiceMaker(Indexed):
    def __init__(self, spec: MakeChoice, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        self._weights = spec.weights
        super().__init__(spec, column, secret, slot)
        chosen = [value_of(text, self.wire) for text in spec.texts(column)]
        self._choices = pa.array([value.as_py() for value in chosen], self.wire)

    def draw(self, source: Source, size: int) -> Draw:
        return weighted(source, self._weights) if self._weights else even(source, size)

    def values(self, indexes: Indexes) -> pa.Array:
        return self._choices.take(pa.array(indexes))


class NumberMaker(Indexed):
    """In units of the last digit."""

    def __init__(self, spec: MakeNumber, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        self._central = spec.distribution == "normal"
        self._low, self._digits = spec.units(column)[0], spec.digits(column)
        super().__init__(spec, column, secret, slot)

    def draw(self, source: Source, size: int) -> Draw:
        return central(source, size) if self._central else even(source, size)

    def values(self, indexes: Indexes) -> pa.Array:
        return numbers(indexes + self._low, self._digits, self.wire)


class DateMaker(Indexed):
    """In days, or in seconds."""

    def __init__(self, spec: MakeDate, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        self._central = spec.distribution == "normal"
        self._low = spec.ends(column)[0]
        super().__init__(spec, column, secret, slot)
        self._unit = 1 if column.type.family == "date" else SECOND_US

    def draw(self, source: Source, size: int) -> Draw:
        return central(source, size) if self._central else even(source, size)

    def values(self, indexes: Indexes) -> pa.Array:
        return from_int64s((indexes + self._low) * self._unit, self.wire)


class PatternMaker(Indexed):
    """The index in mixed radix, a character per digit."""

    def __init__(self, spec: MakePattern, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(spec, column, secret, slot)
        self._alphabets = spec.alphabets()
        self._tables = [np.frombuffer(a.encode("utf-32-le"), np.uint32) for a in self._alphabets]
        self._ascii = all(a.isascii() for a in self._alphabets)

    def values(self, indexes: Indexes) -> pa.Array:
        return _spelled(indexes, self._tables, ascii_only=self._ascii)


class WordsMaker(Maker):
    """Words of the list above, as many as the row draws; what is too long is cut at a word where it can be."""

    def __init__(self, spec: MakeWords, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)
        self._source = Source(secret, column.domain)
        self._spec, self._limit = spec, spec.max_output_chars(column) or 0
        self._words = pa.array(WORDS)

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        spec, rows = self._spec, len(ordinals)
        counts = even(self._source, spec.most - spec.least + 1)(ordinals) + spec.least
        drawn = np.empty((rows, -(-spec.most // 20) * 20), np.int64)
        for block in range(drawn.shape[1] // 20):  # ten words of six bits from each half of a block
            halves = self._source.words(ordinals, 2 + block)
            for place in range(20):
                bits = halves[:, place // 10] >> np.uint64(6 * (place % 10))
                drawn[:, 20 * block + place] = (bits & np.uint64(63)).view(np.int64)
        used = np.arange(drawn.shape[1]) < counts[:, None]
        ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
        lists = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), self._words.take(pa.array(drawn[used])))
        texts = pc.utf8_capitalize(pc.binary_join(lists, " "))
        texts = pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(texts, 0, self._limit))
        return nulled(texts, self._source.nulls(ordinals, spec.null_share)) if spec.null_share else texts


class SequenceMaker(Maker):
    def __init__(self, spec: MakeSequence, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)
        self._source = Source(secret, column.domain)
        self._spec = spec

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        values = numbers(ordinals * self._spec.step + self._spec.start, 0, self.wire)
        share = self._spec.null_share
        return nulled(values, self._source.nulls(ordinals, share)) if share else values


def numbers(units: npt.NDArray[np.int64], digits: int, wire: pa.DataType) -> pa.Array:
    """Units of 10^-digits in a wire type; numerics of any precision travel as text."""
    if pa.types.is_integer(wire):
        return pa.array(units).cast(wire)
    if pa.types.is_floating(wire):
        return pa.array(units.astype(np.float64) / float(10**digits)).cast(wire)
    texts = decimal_texts(units, digits)
    return texts if pa.types.is_string(wire) else texts.cast(wire)


def _spelled(indexes: Indexes, tables: list[npt.NDArray[np.uint32]], *, ascii_only: bool) -> pa.StringArray:
    """The index in mixed radix, the last character changing fastest."""
    rest = indexes.copy()
    chars = np.empty((len(indexes), len(tables)), np.uint32)
    for place in reversed(range(len(tables))):
        size = len(tables[place])
        following = rest // size
        chars[:, place] = tables[place][rest - following * size]
        rest = following
    if ascii_only:
        return fixed_strings(chars.astype(np.uint8))
    return pa.array([row.tobytes().decode("utf-32-le") for row in chars], pa.string())  # fixed text that is not ASCII


spelled = partial(_spelled, ascii_only=True)
"""ASCII texts by their index."""
