"""A long text is masked in slices: as the whole arrays of `Ff1` mask it, in a fraction of their memory."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.kernels.ff1_long import LONG_POSITIONS, MOST_IN_LIMB, SLICE
from tailrace_generator.kernels.letters import letters
from tailrace_generator.kernels.text_fpe import LONG_BYTES, TextFpe

ALPHABETS = {
    "one radix": "abcdefghijklmnopqrstuvwxyz",
    "digits": "0123456789",
    "letters, digits, signs": "abcXYZ0189 .,-+/",
    "two scripts": "aZ9éßжЖ ω",
    "ideographs and kana": "王明日本かな。",
}


@pytest.fixture(scope="module")
def fpe(secret: MaskSecret) -> TextFpe:
    return TextFpe(secret, "test")


def text(alphabet: str, characters: int, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=characters))


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS.keys())
@pytest.mark.parametrize("characters", [LONG_BYTES, LONG_BYTES + 1, SLICE + 17, 3 * SLICE - 5])
def test_slices_give_what_whole_arrays_give(fpe: TextFpe, alphabet: str, characters: int) -> None:
    array = pa.array([text(alphabet, characters)])
    assert fpe._permute_long(array).equals(fpe._permute(array))


def test_a_long_text_of_few_letters_is_masked_as_the_short_text_of_them(fpe: TextFpe) -> None:
    for letters_ in ("", "a", "secret number 4711", "k" * (LONG_POSITIONS - 1), "k" * LONG_POSITIONS):
        array = pa.array([" " * LONG_BYTES + letters_])
        assert fpe.permute(array).to_pylist() == [" " * LONG_BYTES + fpe.permute(pa.array([letters_]))[0].as_py()]


def test_long_and_short_texts_of_a_batch_keep_their_places(fpe: TextFpe) -> None:
    texts = ["short", text("abc", LONG_BYTES, 1), "", "other", text("xyz é", LONG_BYTES, 2), text("abc", LONG_BYTES, 3)]
    assert fpe.permute(pa.array(texts)).to_pylist() == [fpe.permute(pa.array([t]))[0].as_py() for t in texts]


def test_memory_is_a_few_bytes_per_character(fpe: TextFpe) -> None:
    array = pa.array([text("abcdefghijklmnopqrstuvwxyz0123456789", 2 << 20)])
    tracemalloc.start()
    try:
        fpe.permute(array)
        assert tracemalloc.get_traced_memory()[1] < 20 * array.nbytes
    finally:
        tracemalloc.stop()


def test_every_alphabet_has_two_members_so_that_a_limb_has_few_positions() -> None:
    assert letters().size.min() >= 2
    assert np.log2(2) * MOST_IN_LIMB > 52
