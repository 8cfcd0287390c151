"""Rows from ordinals: the same however they are cut, inside their ranges, different where they must be, and pinned."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.kernels.draws import Permutation, Source, earlier, skewed
from tailrace_generator.kernels.made_registry import MAKERS, build_maker
from tailrace_generator.kernels.maker import Maker
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import CATALOGUE_VERSION, MaskColumn, parse_rule
from tailrace_shared.plan.model import Slot
from tailrace_shared.types import arrow_type

FILE = Path(__file__).with_name("golden_made.json")
Columns = Callable[..., MaskColumn]
SECRET = MaskSecret(bytes(range(32)))
ENUM = {"enum": ("low", "mid", "high")}
CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("int4", "key", {}),
    ("numeric", "key", {"precision": 6, "scale": 0}),
    ("uuid", "key", {}),
    ("text", "key", {}),
    ("varchar", "key", {"length": 3}),
    ("int2", {"generator": "make.number", "low": -5, "high": 7}, {}),
    ("int8", {"generator": "make.number", "low": 0, "high": 4_000_000_000_000_000_000}, {}),
    ("numeric", {"generator": "make.number", "low": "0.05", "high": "9.99"}, {"precision": 5, "scale": 2}),
    ("numeric", {"generator": "make.number", "low": -1, "high": 1, "scale": 4, "distribution": "normal"}, {}),
    ("float8", {"generator": "make.number", "low": 0, "high": 1, "scale": 3}, {}),
    ("float4", "make.number", {}),
    ("date", "make.date", {}),
    ("date", {"generator": "make.date", "low": "2024-02-28", "high": "2024-03-01"}, {}),
    ("timestamp", {"generator": "make.date", "distribution": "normal"}, {}),
    ("timestamptz", {"generator": "make.date", "low": "2024-01-01T00:00:00+02:00", "high": "2024-01-01T12:00:00Z"}, {}),
    ("time", {"generator": "make.date", "low": "09:00:00", "high": "17:00:00"}, {}),
    ("bool", {"generator": "make.boolean", "share": 0.2}, {}),
    ("text", {"generator": "make.choice", "values": ["a", "b", "c"], "weights": [7, 2, 1]}, {}),
    ("int4", {"generator": "make.choice", "values": [3, 5, 8], "null_share": 0.3}, {}),
    ("uuid", {"generator": "make.choice", "values": ["6f1c9f6e-7b5a-4c3d-9e2f-1a2b3c4d5e6f"]}, {}),
    ("text", "make.words", {}),
    ("varchar", {"generator": "make.words", "least": 1, "most": 60, "null_share": 0.2}, {"length": 25}),
    ("text", {"generator": "make.pattern", "pattern": r"AA-99 Xa\9"}, {}),
    ("text", {"generator": "make.pattern", "pattern": "№9é"}, {}),
    ("int4", {"generator": "make.sequence", "start": 10, "step": -3}, {}),
    ("text", "mask.hash", {}),
    ("text", "mock.email", {}),
    ("varchar", "mock.full_name", {"length": 20}),
    ("jsonb", {"generator": "constant", "value": "{}"}, {}),
    ("bytea", "null", {}),
]


def made(column: Columns, number: int) -> tuple[MaskColumn, Maker]:
    base, rule, options = CASES[number]
    filled = column(base, **options)
    return filled, build_maker(parse_rule(rule), filled, SECRET)


def ordinals(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


@pytest.mark.parametrize("number", range(len(CASES)))
@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=4), first=st.integers(0, 1 << 30))
def test_a_row_is_the_same_however_rows_are_cut(number: int, cuts: list[int], first: int, column: Columns) -> None:
    filled, maker = made(column, number)
    whole = np.arange(first, first + 400, dtype=np.int64)
    if CASES[number][1] == "key" and (filled.type.length or filled.type.precision):
        whole %= 30_000  # the column holds no more of them
    out = maker(whole)
    assert out.type == arrow_type(filled.type)
    assert len(out) == 400
    pieces = [maker(piece) for piece in np.split(whole, sorted(cuts))]
    assert pa.concat_arrays(pieces).equals(out)
    assert maker(whole[::-1].copy()).equals(out.take(pa.array(np.arange(399, -1, -1))))
    assert made(column, number)[1](whole).equals(out), "another replica makes the same"


@pytest.mark.parametrize(
    ("number", "rows"),
    [(n, 30_000) for n, case in enumerate(CASES) if case[1] in ("key", "mask.hash")] + [(24, 30_000)],
)
def test_what_is_exact_never_repeats(number: int, rows: int, column: Columns) -> None:
    _, maker = made(column, number)
    out = maker(np.arange(rows, dtype=np.int64))
    assert len(out.unique()) == rows


def test_values_stay_in_their_range_and_reach_both_ends(column: Columns) -> None:
    rows = np.arange(50_000, dtype=np.int64)
    small = made(column, 5)[1](rows).to_pylist()
    assert set(small) == set(range(-5, 8))
    money = made(column, 7)[1](rows).to_pylist()
    assert (str(min(money)), str(max(money))) == ("0.05", "9.99")
    days = {str(day) for day in made(column, 12)[1](rows).to_pylist()}
    assert days == {"2024-02-28", "2024-02-29", "2024-03-01"}
    times = made(column, 15)[1](rows).to_pylist()
    assert min(times).hour == 9
    assert max(times).isoformat() <= "17:00:00"
    words = made(column, 21)[1](rows).drop_null().to_pylist()
    assert max(map(len, words)) <= 25
    assert all(text == text.strip() and text for text in words)
    pattern = made(column, 22)[1](rows)
    assert pa.compute.all(pa.compute.match_substring_regex(pattern, r"^[A-Z]{2}-\d\d [0-9A-Z][a-z]9$")).as_py()


def test_shares_and_weights_hold(column: Columns) -> None:
    rows = np.arange(50_000, dtype=np.int64)
    assert abs(sum(made(column, 16)[1](rows).to_pylist()) / 50_000 - 0.2) < 0.01
    counts = Counter(made(column, 17)[1](rows).to_pylist())
    assert abs(counts["a"] / 50_000 - 0.7) < 0.01
    assert abs(counts["c"] / 50_000 - 0.1) < 0.01
    assert abs(made(column, 18)[1](rows).null_count / 50_000 - 0.3) < 0.01
    normal = [float(x) for x in made(column, 8)[1](rows).to_pylist()]
    assert abs(sum(normal)) / 50_000 < 0.01
    assert sum(abs(x) < 0.5 for x in normal) > 0.8 * 50_000


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 200_000) | st.integers(1 << 40, 1 << 62), start=st.integers(0, 1 << 20))
def test_a_permutation_of_any_size_is_one(size: int, start: int) -> None:
    permutation = Permutation(SECRET, "t", size)
    first = start % size
    rows = np.arange(first, min(size, first + 3000), dtype=np.int64)
    out = permutation(rows)
    assert out.min() >= 0
    assert out.max() < size
    assert len(np.unique(out)) == len(rows)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4))
def test_digits_of_a_slot_tell_all_rows_apart(sizes: list[int]) -> None:
    total = int(np.prod(sizes))
    rows = np.arange(min(total, 4000), dtype=np.int64)
    divisor, digits = 1, []
    for number, size in enumerate(sizes):
        rule = parse_rule({"generator": "make.number", "low": 0, "high": size - 1})
        slot = Slot(name="t pkey", total=total, divisor=divisor, size=size)
        divisor *= size
        filled = MaskColumn.model_validate(
            {
                "type": {"name": "int8", "base": "int8", "family": "integer"},
                "domain": f"t.c{number}",
                "family": "integer",
            }
        )
        digits.append(build_maker(rule, filled, SECRET, slot)(rows).to_pylist())
    assert len(set(zip(*digits, strict=True))) == len(rows)


def test_earlier_rows_come_before_and_skew_gives_a_few_most() -> None:
    rows = np.arange(20_000, dtype=np.int64)
    before = earlier(Source(SECRET, "t"))(rows)
    assert before[0] == 0
    assert (before[1:] < rows[1:]).all()
    for skew, share in ((1, 0.447), (2, 0.585), (4, 0.725), (7, 0.818)):
        drawn = np.sort(
            np.bincount(skewed(Source(SECRET, "t"), 1000, skew)(np.arange(200_000, dtype=np.int64)), minlength=1000)
        )
        assert abs(drawn[-200:].sum() / 200_000 - share) < 0.02


def test_another_secret_or_column_makes_other_values(column: Columns) -> None:
    rows = np.arange(100, dtype=np.int64)
    filled = column("int4")
    rule = parse_rule("make.number")
    one = build_maker(rule, filled, SECRET)(rows)
    assert not build_maker(rule, filled, MaskSecret(bytes(32)))(rows).equals(one)
    assert not build_maker(rule, filled.model_copy(update={"domain": "other"}), SECRET)(rows).equals(one)


def test_a_generator_that_needs_a_value_makes_none(column: Columns) -> None:
    with pytest.raises(TerminalError, match="needs a value"):
        build_maker(parse_rule("mask.text"), column("text"), SECRET)


def pinned() -> list[list[Any]]:
    loaded: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    assert loaded["catalogue"] == CATALOGUE_VERSION
    found: list[list[Any]] = loaded["cases"]
    return found


ROWS = (0, 1, 2, 3, 1000, 32_000)


def shown(maker: Maker) -> list[str | None]:
    return [
        None if v is None else v.hex() if isinstance(v, bytes) else str(v) for v in maker(ordinals(*ROWS)).to_pylist()
    ]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_rows_are_pinned(number: int, column: Columns) -> None:
    """A change here changes every generated table: raise CATALOGUE_VERSION, then write the file again."""
    base, rule, options = CASES[number]
    assert pinned()[number] == [base, rule, options, shown(made(column, number)[1])]


def test_every_maker_is_pinned() -> None:
    rules = {case[1] if isinstance(case[1], str) else case[1]["generator"] for case in CASES}
    assert {name for name in MAKERS if not name.startswith("mock.")} <= rules


def write() -> None:
    """Pin what the kernels do now: ``python tests/unit/generator/test_kernel_made.py``."""
    from conftest import make_column

    cases = [[*CASES[number], shown(made(make_column, number)[1])] for number in range(len(CASES))]
    text = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    FILE.write_text(f'{{"catalogue": {CATALOGUE_VERSION}, "cases": [\n{text}\n]}}\n', "utf-8")


if __name__ == "__main__":
    write()
