"""The pinned alphabets: derived again from Unicode 14, and every letter in exactly one."""

from __future__ import annotations

import sys
import unicodedata
from collections import defaultdict
from importlib.resources import files

import pytest

from tailrace_shared.generators import is_immutable, shape_of, shape_size
from tailrace_shared.generators.alphabets import MIN_MEMBERS, alphabets

BLOCKS = [
    (0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xFF), (0x100, 0x17F), (0x391, 0x3A9), (0x3B1, 0x3C9), (0x410, 0x42F),
    (0x430, 0x44F), (0x5D0, 0x5EA), (0x621, 0x64A), (0x904, 0x939), (0xE01, 0xE2E), (0x3041, 0x3096), (0x30A1, 0x30FA),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
]  # fmt: skip
"""Alphabets of their own within common scripts, so that a mask looks like its value."""


def kind_of(code: int) -> str | None:
    char = chr(code)
    category = unicodedata.category(char)
    if category in ("Lu", "Lt", "Nl", "No", "So") and char.lower() != char:
        return "upper"
    kinds = {"Lu": "letter", "Lt": "letter", "Ll": "lower", "Lm": "letter", "Lo": "letter", "Nd": "digit",
             "Nl": "number", "No": "number", "Mn": "mark", "Mc": "mark", "Co": "private"}  # fmt: skip
    if category == "Cn" and not (code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF):
        return "unassigned"
    return kinds.get(category)


def script_of(code: int, kind: str) -> str | None:
    if kind in ("private", "unassigned"):
        return ""
    name = unicodedata.name(chr(code), "").split(" ")[0].split("-")[0]
    if kind == "mark":
        return None if name in ("COMBINING", "VARIATION", "") else name
    return next((f"{low:04X}" for low, high in BLOCKS if low <= code <= high), name)


def derive() -> dict[str, list[int]]:
    groups: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for code in (*range(0xD800), *range(0xE000, sys.maxunicode + 1)):
        kind = kind_of(code)
        script = None if kind is None else script_of(code, kind)
        if kind is not None and script is not None:
            groups[kind, len(chr(code).encode()), script].append(code)
    found: dict[str, list[int]] = {}
    rest: dict[tuple[str, int], list[int]] = defaultdict(list)
    for (kind, width, script), codes in groups.items():
        if len(codes) >= MIN_MEMBERS:
            found[f"{kind}-{width}-{script}"] = codes
        else:
            rest[kind, width] += codes
    for (kind, width), codes in rest.items():
        if len(codes) >= MIN_MEMBERS:
            found[f"{kind}-{width}-rest"] = sorted(codes)
            continue
        near = [name for name in found if name.startswith(f"{kind}-{width}-")]
        near = near or [name for name in found if name.startswith(f"letter-{width}-")]
        name = min(near, key=lambda name: (len(found[name]), name))
        found[name] = sorted(found[name] + codes)
    return found


def members() -> dict[str, list[int]]:
    text = (files("tailrace_shared.generators") / "alphabets.txt").read_text("ascii")
    found = {}
    for line in text.splitlines():
        name, *spans = line.split()
        ends = [(int(span.split("-")[0], 16), int(span.split("-")[-1], 16)) for span in spans]
        found[name] = [code for first, last in ends for code in range(first, last + 1)]
    return found


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the table is pinned to Unicode 14")
def test_the_table_is_what_unicode_14_gives() -> None:
    assert members() == derive()


def test_no_code_point_is_in_two_alphabets_and_none_is_small() -> None:
    found = members()
    codes = [code for of_one in found.values() for code in of_one]
    assert len(codes) == len(set(codes))
    assert min(map(len, found.values())) >= MIN_MEMBERS
    assert alphabets().sizes == [len(of_one) for of_one in found.values()]


def test_every_letter_and_digit_is_masked_and_ascii_punctuation_stays() -> None:
    table = alphabets()
    letters = (code for code in range(0x30000) if chr(code).isalnum())
    assert all(table.find(code) is not None for code in letters)
    assert all(table.find(code) is None for code in range(128) if not chr(code).isalnum())


def test_an_alphabet_keeps_case_and_utf8_width() -> None:
    for name, codes in members().items():
        assert len({len(chr(code).encode()) for code in codes}) == 1
        if name.startswith("lower"):
            assert all(chr(code).lower() == chr(code) for code in codes)


def test_shapes_count_their_members() -> None:
    assert shape_size("Ab-1") == 26 * 26 * 10
    assert shape_size("") == shape_size("- …😀") == 1
    assert is_immutable("--")
    assert not is_immutable("a")
    assert shape_of("Zoë 1") == shape_of("Abü 9")
    assert shape_of("Zoe") != shape_of("zoe")
    assert shape_of("A.b")[1] == "."
