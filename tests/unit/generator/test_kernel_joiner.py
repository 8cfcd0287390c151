"""Parts joined through overlapping windows: exactly what joining them one by one gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace_generator.kernels.joiner import Joiner
from tailrace_generator.kernels.slots import CodeSlot, ListSlot

LISTS = st.lists(st.lists(st.text("aßЖ語-", max_size=9), min_size=1, max_size=5), min_size=1, max_size=5)


@given(LISTS, st.integers(0, 200), st.integers(0, 2**32))
def test_texts_are_their_parts_one_after_the_other(lists: list[list[str]], rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    indexes = [draw.integers(0, len(values), rows).astype(np.uint64) for values in lists]
    joined = Joiner([ListSlot(values).between("", "") for values in lists])(indexes)
    expected = ["".join(v[i] for v, i in zip(lists, row, strict=True)) for row in zip(*indexes, strict=True)]
    assert joined.to_pylist() == expected
    joined.validate(full=True)


def test_later_rows_never_touch_earlier_ones_however_many_there_are() -> None:
    """Rows are written in ascending order, each over the rest of the one before: numpy's behaviour, which this test watches."""
    rows = 300_000
    values = ["", "a", "bb" * 15, "c" * 16]
    indexes = [np.arange(rows, dtype=np.uint64) * step % 4 for step in (1, 3, 7)]
    joined = Joiner([ListSlot(values).between("", "") for _ in indexes])(indexes)
    assert joined.to_pylist() == [values[a] + values[b] + values[c] for a, b, c in zip(*indexes, strict=True)]


def test_codes_stand_between_their_literals() -> None:
    code, names = CodeSlot("0123456789", 4), ListSlot(["Ana", "Ö"])
    joiner = Joiner([names.between("", "ß"), code.between("«", "»"), code.between("", "")])
    texts = joiner([np.array([0, 1], np.uint64), np.array([17, 9999], np.uint64), np.array([0, 42], np.uint64)])
    assert texts.to_pylist() == ["Anaß«0017»0000", "Öß«9999»0042"]
