"""FF1: the nine samples that NIST publishes with SP 800-38G, on the code that masks; beyond them, bijections."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.kernels.ff1 import ROUNDS, Ff1, cost, lead_blocks
from tailrace_generator.kernels.prf import Aes

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
KEY_128 = "2b7e151628aed2a6abf7158809cf4f3c"
KEY_192 = KEY_128 + "ef4359d8d580aa4f"
KEY_256 = KEY_192 + "7f036d6f04fc6a94"
TEN, ELEVEN = "39383736353433323130", "3737373770717273373737"
NIST = [
    (KEY_128, 10, "", "0123456789", "2433477484"),
    (KEY_128, 10, TEN, "0123456789", "6124200773"),
    (KEY_128, 36, ELEVEN, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (KEY_192, 10, "", "0123456789", "2830668132"),
    (KEY_192, 10, TEN, "0123456789", "2496655549"),
    (KEY_192, 36, ELEVEN, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (KEY_256, 10, "", "0123456789", "6657667009"),
    (KEY_256, 10, TEN, "0123456789", "1001623463"),
    (KEY_256, 36, ELEVEN, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]


def standard(key: str, radix: int, tweak: bytes, text: str) -> str:
    """FF1 with a tweak of any length, which masks never use, on the engine's own rounds."""
    aes = Aes(bytes.fromhex(key))
    numerals = [DIGITS.index(char) for char in text]
    cut = len(text) // 2
    left, right = (reduce(lambda a, b: a * radix + b, half, 0) for half in (numerals[:cut], numerals[cut:]))
    sizes = radix**cut, radix ** (len(text) - cut)
    width = ((sizes[1] - 1).bit_length() + 7) // 8
    lead = aes.ecb(lead_blocks(np.array([radix], np.uint64), *(np.array([n]) for n in (cut, len(text), len(tweak)))))
    block_q = tweak + bytes((-len(tweak) - width - 1) % 16 + 1 + width)
    for at in range(0, len(block_q) - 16, 16):
        lead = aes.ecb(lead ^ np.frombuffer(block_q[at : at + 16], np.uint64))
    tail = np.frombuffer(block_q[-16:], np.uint64).reshape(1, 2)
    a, b, a_size, b_size = (np.array([n], np.uint64) for n in (left, right, *sizes))
    Ff1(aes).rounds(a, b, a_size, b_size, lead, tail, ROUNDS)
    return written(int(a[0]), radix, cut) + written(int(b[0]), radix, len(text) - cut)


def written(number: int, radix: int, width: int) -> str:
    return "".join(DIGITS[number // radix**i % radix] for i in reversed(range(width)))


def encrypt(values: list[list[int]], radices: list[list[int]]) -> list[tuple[int, ...]]:
    flat = np.array([r for row in radices for r in row], np.uint64)
    costs = np.array([cost(int(r)) for r in flat], np.int64)
    ends = np.concatenate(([0], np.cumsum([len(row) for row in values], dtype=np.int64)))
    out = Ff1(Aes(bytes.fromhex(KEY_128))).encrypt(
        np.array([x for row in values for x in row], np.uint64), flat, costs, ends
    )
    return [tuple(out[a:b].tolist()) for a, b in pairwise(ends)]


@pytest.mark.parametrize(("key", "radix", "tweak", "plain", "expected"), NIST)
def test_the_samples_of_nist(key: str, radix: int, tweak: str, plain: str, expected: str) -> None:
    assert standard(key, radix, bytes.fromhex(tweak), plain) == expected


@pytest.mark.parametrize("text", ["0123456789", "000000", "9" * 29, "31415926535"])
def test_masks_without_a_tweak_are_the_standard(text: str) -> None:
    assert "".join(map(str, encrypt([[int(c) for c in text]], [[10] * len(text)])[0])) == standard(
        KEY_128, 10, b"", text
    )


@pytest.mark.parametrize("radices", [[10, 10, 10, 10], [26, 10, 11], [700, 10], [10, 700], [7000, 2], [11, 12, 13, 2]])
def test_a_mixed_shape_is_permuted_as_a_whole(radices: list[int]) -> None:
    values = [list(value) for value in product(*(range(radix) for radix in radices))]
    assert sorted(encrypt(values, [radices] * len(values))) == [tuple(value) for value in values]


@settings(max_examples=40, deadline=None)
@given(
    st.data(),
    st.lists(st.lists(st.sampled_from([10, 26, 33, 20992, 828346]), min_size=2, max_size=60), min_size=1, max_size=8),
)
def test_long_and_mixed_values_stay_in_their_shape_and_ignore_their_neighbours(
    data: st.DataObject, radices: list[list[int]]
) -> None:
    values = [[data.draw(st.integers(0, radix - 1)) for radix in row] for row in radices]
    together = encrypt(values, radices)
    assert all(x < radix for out, row in zip(together, radices, strict=True) for x, radix in zip(out, row, strict=True))
    assert together == [encrypt([value], [row])[0] for value, row in zip(values, radices, strict=True)]


def test_a_value_of_many_limbs_changes_everywhere_when_one_position_does() -> None:
    one, other = encrypt([[0] * 2000, [0] * 1999 + [1]], [[26] * 2000] * 2)
    same = sum(a == b for a, b in zip(one, other, strict=True))
    assert same < 2000 / 26 + 6 * (2000 / 26) ** 0.5


def test_neighbouring_values_of_several_limbs_do_not_collide() -> None:
    values = [[i % 26, i // 26] + [3] * 40 for i in range(600)]
    assert len(set(encrypt(values, [[26] * 42] * 600))) == 600
