"""Golden vectors: what a fixed secret makes of fixed values. They pin the mapping for good.

A change here is a change of every masked database: raise ``CATALOGUE_VERSION``, then write the file again with
``python tests/unit/generator/test_golden_vectors.py``.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tailrace_generator.kernels import KERNELS, Kernel, MaskSecret, build
from tailrace_generator.kernels.canonical import canonical
from tailrace_shared.generators import CATALOGUE_VERSION, GENERATORS, MaskColumn, parse_rule

FILE = Path(__file__).with_name("golden.json")
INTEGERS = ["1", "2", "0", "-1", "-2", "255", "32766", "32767", "-32767", "-32768"]
WIDER = ["32768", "1000000", "1073741823", "1073741824", "2147483647", "-32769", "-2147483648"]
WIDEST = ["2147483648", "4503599627370495", "4503599627370496", "9007199254740991", "9007199254740992",
          "9223372036854775807", "-9223372036854775808", "-2147483649"]  # fmt: skip
TEXTS = [
    "", "a", "Z", "7", "-", "é", "ß", "Anna", "anna", "ANNA", "Anna Smith", "anna.smith42@example.com", "O'Brien",
    "José García-Núñez", "Łódź", "Ελένη Παπαδοπούλου", "Иван Петров", "משה", "محمد علي", "अमित", "สมชาย", "王小明",
    "さくら", "サクラ", "김민준", "Հայկ", "😀", "hi 😀 there", "a\u0301", "𝐀𝐁", "0171 2345678", "AB-12-CD", "000000", "999999",
    "The quick brown fox jumps over the lazy dog, 3 times; then it sleeps for 12 hours.", "x" * 120, " padded ", "a\nb",
]  # fmt: skip
NUMBERS = ["1.00", "1.10", "0.00", "-0.05", "12345.67", "-9999999.99", "0.01", "100.00"]
DATES = [
    "2024-02-29",
    "1970-01-01",
    "0001-01-01",
    "9999-12-31",
    "infinity",
    "-infinity",
    "0044-03-15 BC",
    "12345-06-07",
]
STAMPS = [
    "2024-02-29 12:34:56",
    "1969-12-31 23:59:59.999999",
    "2000-01-01 00:00:00.5",
    "infinity",
    "0044-03-15 01:02:03 BC",
]
UUIDS = ["6f1c9f6e-7b5a-4c3d-9e2f-1a2b3c4d5e6f", "00000000-0000-0000-0000-000000000000",
         "ffffffff-ffff-ffff-ffff-ffffffffffff", "018f3e5c-9d2a-7c1b-8a4d-112233445566"]  # fmt: skip
MIXED = {"generator": "mask.date", "days": 5, "keep_time": False}
Case = tuple[str, Any, dict[str, Any], list[str]]


def cases() -> list[Case]:
    """Name of the column's type, rule, options of the column, values."""
    found: list[Case] = [
        ("int2", "key", {}, INTEGERS), ("int4", "key", {}, INTEGERS + WIDER), ("int8", "key", {}, INTEGERS + WIDER + WIDEST),
        ("numeric", "key", {"family": "integer"}, [*INTEGERS, "1.00"]), ("numeric", "key", {}, [*NUMBERS, "NaN", "1", "1.1"]),
        ("uuid", "key", {}, UUIDS), ("text", "key", {}, TEXTS), ("citext", "key", {}, TEXTS),
        ("bpchar", "key", {"length": 8}, ["Anna", "Anna    ", "AB 12"]), ("varchar", "key", {"length": 8}, ["Anna"]),
        ("int4", "mask.number", {}, INTEGERS + WIDER), ("int2", {"generator": "mask.number", "absolute": 5}, {}, INTEGERS),
        ("numeric", "mask.number", {"precision": 9, "scale": 2}, NUMBERS),
        ("numeric", "mask.number", {}, [*NUMBERS, "NaN", "Infinity", "123456789012345678901234567890.5", "7"]),
        ("float8", "mask.number", {}, ["1.5", "-0", "1e+300", "Infinity", "NaN", "0.1"]), ("float4", "mask.number", {}, ["1.1"]),
        ("date", "mask.date", {}, DATES), ("timestamp", "mask.date", {}, STAMPS), ("timestamp", MIXED, {}, STAMPS[:3]),
        ("timestamptz", "mask.date", {}, ["2024-02-29 12:34:56+00", "2024-02-29 14:34:56+02", "infinity"]),
        ("time", "mask.date", {}, ["00:00:00", "12:34:56.5", "23:59:59", "24:00:00"]),
    ]  # fmt: skip
    for name in GENERATORS:
        if name.startswith(("mock.", "mask.text", "mask.hash")):
            found.append(("text", name, {}, TEXTS[:14]))
            found.append(("varchar", name, {"length": 20}, TEXTS[:14]))
    for name in ("mock.email", "mock.phone"):
        found.append(("text", {"generator": name, "unique": True}, {}, TEXTS[:6]))
    found += [
        ("text", {"generator": name, "locale": "de_DE"}, {}, TEXTS[:6])
        for name in GENERATORS
        if name.startswith("mock.")
    ]
    return found


def make(columns: Callable[..., MaskColumn], secret: MaskSecret, case: Case) -> tuple[MaskColumn, Kernel]:
    base, rule, options, _ = case
    filled = columns(base, **options)
    return filled, build(parse_rule(rule), filled, secret)


def golden() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("number", range(len(cases())))
def test_the_mapping_is_pinned(
    column: Callable[..., MaskColumn],
    typed: Callable[[MaskColumn, Sequence[str | None]], pa.Array],
    secret: MaskSecret,
    number: int,
) -> None:
    case = cases()[number]
    pinned = golden()["cases"][number]
    assert [pinned["type"], pinned["rule"], pinned["column"], pinned["in"]] == list(case)
    filled, run = make(column, secret, case)
    assert run(pa.array(case[3])).to_pylist() == pinned["out"]
    try:
        array = typed(filled, case[3])
    except pa.ArrowInvalid:
        return  # holds a value that the wire type does not: such batches travel as text
    assert canonical(filled, run(array)).to_pylist() == canonical(filled, pa.array(pinned["out"])).to_pylist()


def test_the_file_belongs_to_this_catalogue() -> None:
    assert golden()["catalogue"] == CATALOGUE_VERSION
    assert len(golden()["cases"]) == len(cases())


def test_every_deterministic_generator_is_pinned() -> None:
    rules = {case[1] if isinstance(case[1], str) else case[1]["generator"] for case in cases()}
    assert rules == {name for name in KERNELS if GENERATORS[name].masks and name not in ("null", "constant")}


def write() -> None:
    """Pin what the kernels do now."""
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("kernel_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    secret = MaskSecret(bytes(range(32)))
    pinned = []
    for case in cases():
        _, run = make(fixtures.make_column, secret, case)
        out = run(pa.array(case[3])).to_pylist()
        pinned.append({"type": case[0], "rule": case[1], "column": case[2], "in": case[3], "out": out})
    text = ",\n".join(json.dumps(case, ensure_ascii=False) for case in pinned)
    FILE.write_text(f'{{"catalogue": {CATALOGUE_VERSION}, "cases": [\n{text}\n]}}\n', "utf-8")


if __name__ == "__main__":
    write()
