"""What every kernel owes: the same result typed or as text, in any batch, with any nulls; and a registry without holes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.kernels import KERNELS, Kernel, MaskSecret
from tailrace_generator.kernels.canonical import canonical
from tailrace_generator.kernels.made_registry import MAKERS
from tailrace_shared.errors import TailraceError, TerminalError
from tailrace_shared.generators import GENERATORS, MaskColumn
from tailrace_shared.types import arrow_type

Columns = Callable[..., MaskColumn]
Kernels = Callable[[Any, MaskColumn], Kernel]
Typed = Callable[[MaskColumn, Sequence[str | None]], pa.Array]


def of_scale(precision: int, scale: int) -> st.SearchStrategy[str]:
    limit = 10**precision - 1
    return st.integers(-limit, limit).map(
        lambda n: f"{'-' * (n < 0)}{abs(n) // 10**scale}" + (f".{abs(n) % 10**scale:0{scale}}" if scale else "")
    )


def iso(values: st.SearchStrategy[Any], zone: str = "") -> st.SearchStrategy[str]:
    return values.map(lambda v: v.isoformat(" ") + zone if hasattr(v, "hour") and hasattr(v, "year") else v.isoformat())


FLOATS = st.floats(allow_nan=False, width=32).map(lambda x: repr(float(x)).replace("inf", "Infinity"))
NOISE = ["mask.number", {"generator": "mask.number", "absolute": 2.5}]
SHIFTS: list[Any] = ["mask.date", {"generator": "mask.date", "keep_time": False, "days": 3, "minutes": 5}]
CASES: dict[str, tuple[dict[str, Any], st.SearchStrategy[str], list[Any]]] = {
    "int2": ({}, st.integers(-(1 << 15), (1 << 15) - 1).map(str), ["key", *NOISE]),
    "int4": ({}, st.integers(-(1 << 31), (1 << 31) - 1).map(str), ["key", *NOISE]),
    "int8": ({}, st.integers(-(1 << 63), (1 << 63) - 1).map(str), ["key", *NOISE]),
    "numeric": ({"precision": 9, "scale": 2}, of_scale(9, 2), ["key", *NOISE]),
    "numeric ": ({"precision": 38, "scale": 12}, of_scale(38, 12) | of_scale(9, 12), ["key", *NOISE]),
    "numeric  ": ({"precision": 18, "scale": 0}, of_scale(18, 0), ["key", *NOISE]),
    "float4": ({}, FLOATS, NOISE),
    "float8": ({}, FLOATS, NOISE),
    "uuid": ({}, st.uuids().map(str), ["key"]),
    "date": ({}, iso(st.dates()), SHIFTS),
    "timestamp": ({}, iso(st.datetimes()), SHIFTS),
    "timestamptz": ({}, iso(st.datetimes(), "+00"), SHIFTS),
    "time": ({}, iso(st.times()), SHIFTS),
}


@pytest.mark.parametrize("base", CASES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_typed_and_text_mask_alike_in_any_batch(
    kernel: Kernels, column: Columns, typed: Typed, base: str, data: st.DataObject
) -> None:
    options, values, rules = CASES[base]
    filled = column(base.strip(), **options)
    texts = data.draw(st.lists(values | st.none(), min_size=1, max_size=30))
    run = kernel(data.draw(st.sampled_from(rules)), filled)
    array = typed(filled, texts)
    out = run(array)
    assert out.type == array.type
    assert [v is None for v in out.to_pylist()] == [text is None for text in texts]
    as_text = run(pa.array(texts, pa.string()))
    if valid := len(out) - out.null_count:
        expected = canonical(filled, out.drop_null())
        assert canonical(filled, as_text.drop_null()).to_pylist() == expected.to_pylist()
        assert len(expected) == valid
    cut = data.draw(st.integers(0, len(texts)))
    assert pa.concat_arrays([run(array.slice(0, cut)), run(array.slice(cut))]).equals(out)


RULES = {
    "text": [name for name in GENERATORS if name.startswith(("mask.text", "mask.hash", "mock.", "key", "dupl"))],
}


@pytest.mark.parametrize("rule", RULES["text"])
def test_batches_slices_and_nulls_never_change_a_text(kernel: Kernels, column: Columns, rule: str) -> None:
    for filled in (column("text"), column("varchar", length=20), column("text", folded=True)):
        run = kernel(rule, filled)
        texts = ["Alice", None, "bob@example.com", "", None, "Zoë Müller", "0171 234", "王小明", "x" * 20]
        array = pa.array(texts)
        out = run(array)
        assert out.type == pa.string()
        assert [v is None for v in out.to_pylist()] == [v is None for v in texts]
        for first in range(len(texts)):
            assert run(array.slice(first)).equals(out.slice(first))
            assert run(array.slice(first, 1)).equals(out.slice(first, 1))
        assert kernel(rule, filled)(array).equals(out)
        if rule not in ("mask.text", "key", "duplicate"):
            assert all(value is None or len(value) <= (filled.type.length or 99) for value in out.to_pylist())


@pytest.mark.parametrize("name", KERNELS)
def test_empty_and_all_null_arrays_pass_every_kernel(kernel: Kernels, column: Columns, name: str) -> None:
    rule = {"generator": name, "value": "7"} if name == "constant" else name
    ran = 0
    for base in ("int4", "numeric", "float8", "text", "uuid", "date", "timestamptz", "time", "bool", "jsonb"):
        try:
            run = kernel(rule, column(base))
        except TailraceError:
            continue
        for kind in (arrow_type(run.column.type), pa.string()):
            for array in (pa.array([], kind), pa.nulls(5, kind)):
                assert run(array).equals(array)
                ran += 1
    assert ran


def test_what_lies_under_a_null_is_never_read(kernel: Kernels, column: Columns) -> None:
    hidden = pa.StringArray.from_buffers(
        3, pa.array([0, 5, 10, 13], pa.int32()).buffers()[1], pa.py_buffer(b"alice\xff\xff\xff\xff\xffbob"),
        pa.py_buffer(b"\x05"), 1,
    )  # fmt: skip
    for rule in RULES["text"]:
        masks = kernel(rule, column("text"))(hidden).to_pylist()
        assert masks == kernel(rule, column("text"))(pa.array(["alice", None, "bob"])).to_pylist()


def test_the_two_registries_name_the_same_generators() -> None:
    assert set(KERNELS) == {name for name, spec in GENERATORS.items() if spec.from_value} - {"make.reference"}
    assert set(MAKERS) == {name for name, spec in GENERATORS.items() if spec.from_ordinal} - {"make.reference", "ai"}


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [("int4", 5, 5), ("text", "x", "x"), ("bool", True, True), ("float8", 0.5, 0.5), ("jsonb", "{}", "{}")],
)
def test_a_constant_fills_what_is_not_null(
    kernel: Kernels, column: Columns, base: str, value: object, expected: object
) -> None:
    run = kernel({"generator": "constant", "value": value}, column(base))
    typed = pa.array([expected, None], run.wire)
    assert run(typed).to_pylist() == [expected, None]
    assert run(pa.array(["?", None])).to_pylist()[1] is None


@pytest.mark.parametrize(
    ("base", "value"),
    [
        ("uuid", "6f1c9f6e-7b5a-4c3d-9e2f-1a2b3c4d5e6f"), ("date", "2020-01-31"), ("time", "12:30:00"),
        ("timestamp", "2020-01-31 10:00:00"), ("timestamptz", "2020-01-31 10:00:00+02"), ("numeric", "1.5"),
    ],
)  # fmt: skip
def test_a_constant_of_any_type_comes_out_in_the_wire_type(
    kernel: Kernels, column: Columns, typed: Typed, base: str, value: str
) -> None:
    filled = column(base, **({"precision": 6, "scale": 2} if base == "numeric" else {}))
    array = typed(filled, [value.replace("+02", "+00"), None])
    out = kernel({"generator": "constant", "value": value}, filled)(array)
    assert out.type == array.type
    assert out.null_count == 1


def test_null_leaves_nothing(kernel: Kernels, column: Columns) -> None:
    assert kernel("null", column("int4"))(pa.array([1, None], pa.int32())).null_count == 2


def test_a_wrong_wire_type_is_an_error_not_a_guess(kernel: Kernels, column: Columns) -> None:
    with pytest.raises(TerminalError, match="arrived as"):
        kernel("key", column("int4"))(pa.array([1], pa.int64()))


def test_another_secret_gives_other_values(column: Columns) -> None:
    from tailrace_generator.kernels import build
    from tailrace_shared.generators import parse_rule

    texts = pa.array([f"person {i}" for i in range(50)])
    for name in RULES["text"]:
        if name != "duplicate":
            one, other = (
                build(parse_rule(name), column("text"), MaskSecret(bytes([i]) * 32))(texts).to_pylist() for i in (1, 2)
            )
            assert sum(a == b for a, b in zip(one, other, strict=True)) < 6


def test_a_secret_tells_nothing() -> None:
    one, same, other = (
        MaskSecret.of("correct horse battery"),
        MaskSecret.of("correct horse battery"),
        MaskSecret.of("x" * 16),
    )
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert repr(one) == "MaskSecret(…)"
    assert one.key("a", "text") != one.key("b", "text") != one.key("b", "value")
    with pytest.raises(TailraceError, match="fewer than 16"):
        MaskSecret.of("short")


@pytest.mark.parametrize(
    ("base", "rule"),
    [("int4", "key"), ("int4", "mask.number"), ("float8", "mask.number"), ("uuid", "key"), ("date", "mask.date")],
)
def test_a_value_that_cannot_be_masked_is_never_named(kernel: Kernels, column: Columns, base: str, rule: str) -> None:
    with pytest.raises(TerminalError) as failure:
        kernel(rule, column(base))(pa.array(["1", "canary-7f3a"]))
    assert "canary" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__ or failure.value.__context__ is None
