"""From codes to values: one decoder per form of encoding, each the inverse of what the trainer learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.made import WORDS
from tailrace_generator.sampling.noise import Noise
from tailrace_generator.sampling.wire import DAY_US, of_texts, wire_array
from tailrace_shared.synthesis import (
    AboveColumn,
    CategoryColumn,
    ColumnEncoding,
    FreshColumn,
    ListColumn,
    MomentColumn,
    NumberColumn,
    PatternColumn,
    PlaceColumn,
    TogetherColumn,
    WordsColumn,
)
from tailrace_shared.synthesis.conditions import Bound
from tailrace_shared.synthesis.encodings import WEEKDAYS
from tailrace_shared.synthesis.network import Codes
from tailrace_shared.synthesis.quantity import Quantity, Values, stepped
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_shared.types import arrow_type

Decoder = Callable[[Sequence[Codes], Noise], list[pa.Array]]

EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""
CLASSES = {"A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "a": "abcdefghijklmnopqrstuvwxyz", "0": "0123456789"}


def decoder_of(column: ColumnEncoding, tensors: Mapping[str, Tensor], within: Bound | None = None) -> Decoder:
    """The decoder of a column; ``tensors`` by their names within it, ``within`` the limits of a condition."""
    match column:
        case CategoryColumn():
            return _category(column)
        case ListColumn():
            return _list(column)
        case TogetherColumn():
            return _together(column)
        case AboveColumn():
            return _above(column, tensors)
        case NumberColumn():
            return _number(column, tensors, within)
        case MomentColumn():
            return _moment(column, tensors)
        case PatternColumn():
            return _pattern(column)
        case WordsColumn():
            return _words(column, tensors)
        case FreshColumn():
            return _fresh(column)
        case PlaceColumn():
            return _place(column, tensors)


def _category(column: CategoryColumn) -> Decoder:
    labels: list[str | None] = [None] * column.nulls + [column.replacement] * column.rare + [*column.labels]
    values = [of_texts(pa.array(labels, pa.string()), arrow_type(kind)) for kind in column.types]

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        indexes = pa.array(codes[0])
        return [array.take(indexes) for array in values]

    return decode


def _list(column: ListColumn) -> Decoder:
    labels = pa.array([""] * column.rare + list(column.labels), pa.string())

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        lengths = np.maximum(codes[0] - int(column.nulls), 0)
        here = np.arange(column.length_max) < lengths[:, None]
        elements = np.stack(codes[1:], axis=1)[here] if len(codes) > 1 else np.zeros(0, np.int32)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), labels.take(pa.array(elements)))
        texts = pc.binary_join_element_wise("{", pc.binary_join(lists, ","), "}", "")
        nulls = _nulls(codes[0], column.nulls)
        texts = texts if nulls is None else pc.if_else(pa.array(nulls), pa.scalar(None, pa.string()), texts)
        return [texts.cast(arrow_type(column.types[0]))]

    return decode


def _together(column: TogetherColumn) -> Decoder:
    values = [
        of_texts(
            pa.array([None] * column.rare + [label[place] for label in column.labels], pa.string()), arrow_type(kind)
        )
        for place, kind in enumerate(column.types)
    ]

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        indexes = pa.array(codes[0])
        return [array.take(indexes) for array in values]

    return decode


def _above(column: AboveColumn, tensors: Mapping[str, Tensor]) -> Decoder:
    """How much above, as float64, NULL where the column is: ``rules.raised`` makes values of it."""
    quantity = Quantity(column.number, tensors, "number", int(column.nulls))

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        by = np.maximum(quantity(codes[0], codes[1] if len(codes) > 1 else None, noise.uniforms), 0)
        return [pa.array(by, mask=_nulls(codes[0], column.nulls))]

    return decode


def _number(column: NumberColumn, tensors: Mapping[str, Tensor], within: Bound | None) -> Decoder:
    quantity = Quantity(column.number, tensors, "number", int(column.nulls))

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        values = quantity(codes[0], codes[1] if len(codes) > 1 else None, noise.uniforms)
        if within is not None:
            values = np.clip(values, within.low, within.high)
        return [wire_array(values, _nulls(codes[0], column.nulls), column.types[0], column.number.step)]

    return decode


def _nulls(first: Codes, nulls: bool) -> npt.NDArray[np.bool_] | None:
    return first == 0 if nulls else None


def _moment(column: MomentColumn, tensors: Mapping[str, Tensor]) -> Decoder:
    day = Quantity(column.day, tensors, "day", int(column.nulls))
    clock = None if column.clock is None else Quantity(column.clock, tensors, "clock", 0)
    week = len(column.day.tokens(column.nulls))
    knots = tensors.get("day.knots", np.zeros((0, 2)))
    low, high = (float(knots.min()), float(knots.max())) if knots.size else (0.0, 0.0)

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        days = day(codes[0], codes[1] if week > 1 else None, noise.uniforms)
        if column.weekday:
            binned = codes[0] >= int(column.nulls) + column.day.atoms
            days = np.where(binned, on_weekday(days, codes[week], low, high), days)
        moments = days * DAY_US
        if clock is not None:
            at = week + int(column.weekday)
            moments = moments + clock(codes[at], codes[at + 1] if at + 1 < len(codes) else None, noise.uniforms)
        return [wire_array(moments, _nulls(codes[0], column.nulls), column.types[0], 1.0)]

    return decode


def on_weekday(days: Values, weekday: Codes, low: float, high: float) -> Values:
    """Every day moved to the nearest one of its weekday, by a week more where that would leave ``low`` to ``high``."""
    moved = days + (weekday - (days + EPOCH_WEEKDAY) % WEEKDAYS + 3) % WEEKDAYS - 3
    moved = np.where(moved > high, moved - WEEKDAYS, moved)
    return np.where((moved < low) & (moved + WEEKDAYS <= high), moved + WEEKDAYS, moved)


def _pattern(column: PatternColumn) -> Decoder:
    shift = int(column.nulls) + int(column.rare)
    widest = max(1, *(len(pattern) for pattern in column.patterns))
    letters = np.zeros((shift + len(column.patterns), widest), np.uint32)
    for place, pattern in enumerate(column.patterns):
        letters[shift + place, : len(pattern)] = [ord(letter) for letter in pattern]
    classes = {ord(name): np.array([ord(letter) for letter in members], np.uint32) for name, members in CLASSES.items()}

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        drawn = letters[codes[0]]
        texts = drawn.copy()
        random = noise.generator.integers(0, 1 << 16, drawn.shape, np.uint16)
        for name, members in classes.items():
            mine = drawn == name
            texts[mine] = members[random[mine] % len(members)]
        array = pa.array(texts.view(f"<U{widest}").ravel(), pa.string(), mask=_nulls(codes[0], column.nulls))
        return [array.cast(arrow_type(column.types[0]))]

    return decode


def _words(column: WordsColumn, tensors: Mapping[str, Tensor]) -> Decoder:
    quantity = Quantity(column.words, tensors, "words", int(column.nulls))
    vocabulary = pa.array(WORDS)

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        counts = np.maximum(quantity(codes[0], codes[1] if len(codes) > 1 else None, noise.uniforms), 0).astype(
            np.int64
        )
        ends = np.concatenate([[0], np.cumsum(counts)])
        words = vocabulary.take(pa.array(noise.generator.integers(0, len(WORDS), int(ends[-1]))))
        lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), words)
        texts = pc.binary_join(lists, " ")
        if column.types[0].length is not None:
            texts = pc.utf8_slice_codeunits(texts, 0, column.types[0].length)
        nulls = _nulls(codes[0], column.nulls)
        return [texts if nulls is None else pc.if_else(pa.array(nulls), None, texts)]

    return decode


def _fresh(column: FreshColumn) -> Decoder:
    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        random = np.frombuffer(noise.generator.bytes(16 * noise.rows), np.uint8).reshape(-1, 16).copy()
        random[:, 6] = random[:, 6] & 0x0F | 0x40  # version 4 and the variant of RFC 9562
        random[:, 8] = random[:, 8] & 0x3F | 0x80
        array = pa.Array.from_buffers(pa.binary(16), noise.rows, [None, pa.py_buffer(random.tobytes())])
        nulls = _nulls(codes[0], column.nulls)
        return [array if nulls is None else pc.if_else(pa.array(nulls), pa.scalar(None, pa.binary(16)), array)]

    return decode


def _place(column: PlaceColumn, tensors: Mapping[str, Tensor]) -> Decoder:
    boxes = np.concatenate([np.zeros((int(column.nulls), column.cells, 4)), tensors["boxes"]])

    def decode(codes: Sequence[Codes], noise: Noise) -> list[pa.Array]:
        box, nulls = boxes[codes[0], codes[1]], _nulls(codes[0], column.nulls)
        found = []
        for axis, (kind, step) in enumerate(zip(column.types, column.steps, strict=True)):
            low, high = box[:, 2 * axis], box[:, 2 * axis + 1]
            values = low + (high - low) * noise.uniforms()
            found.append(wire_array(stepped(values, step) if step else values, nulls, kind, step))
        return found

    return decode
