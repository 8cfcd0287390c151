"""Mocks: consistent, reserved, as long as the column allows; pools as large as the planner believes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tailrace_generator.kernels import Kernel, pool_digest, pools_digest
from tailrace_generator.kernels.pools import mock_forms, pool_sizes
from tailrace_shared.generators import GENERATORS, LOCALES, MaskColumn, Mock, UniqueMock
from tailrace_shared.generators.pool_sizes import POOL_SIZES

Columns = Callable[..., MaskColumn]
Kernels = Callable[[Any, MaskColumn], Kernel]
MOCKS = {name: spec for name, spec in GENERATORS.items() if issubclass(spec, Mock)}
PEOPLE = pa.array([f"person {i}" for i in range(3000)])


def test_the_planner_knows_the_pools_sizes() -> None:
    assert pool_sizes() == {name: dict(sizes) for name, sizes in POOL_SIZES.items()}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", MOCKS)
def test_forms_keep_to_what_the_spec_declares(name: str, locale: str) -> None:
    spec = MOCKS[name]
    for unique in (False, True) if issubclass(spec, UniqueMock) else (False,):
        shortest = spec.unique_chars if unique else spec.min_chars  # type: ignore[attr-defined]
        forms = mock_forms(name, locale, shortest, unique=unique)
        lengths = [forms.longest(form) for form in range(len(forms.texts))]
        assert max(lengths) <= spec.max_chars  # type: ignore[attr-defined]
        assert lengths[-1] <= shortest
        if unique:
            assert all(forms.space(form) >= spec.unique_space for form in range(len(lengths)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", MOCKS)
def test_a_narrow_column_gets_shorter_forms_never_a_cut(kernel: Kernels, column: Columns, name: str) -> None:
    spec = MOCKS[name]
    wide = kernel(name, column("text"))(PEOPLE).to_pylist()
    for limit in (spec.min_chars, spec.min_chars + 5):  # type: ignore[attr-defined]
        narrow = kernel(name, column("text", max_chars=limit))(PEOPLE).to_pylist()
        assert max(map(len, narrow)) <= limit
        assert all(a == b for a, b in zip(wide, narrow, strict=True) if len(a) <= limit and name != "mock.email")
        assert kernel(name, column("varchar", length=limit))(PEOPLE).to_pylist() == narrow


def test_emails_are_addresses_in_reserved_domains(kernel: Kernels, column: Columns) -> None:
    form = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)*@example\.(com|net|org)")
    for limit in (None, 20, 30):
        for locale in LOCALES:
            rule = {"generator": "mock.email", "locale": locale}
            masks = kernel(rule, column("text", max_chars=limit))(PEOPLE).to_pylist()
            assert all(form.fullmatch(mask) for mask in masks)


def test_phones_are_in_the_range_for_fiction(kernel: Kernels, column: Columns) -> None:
    for limit in (None, 10):
        for locale in ("en_US", "de_DE"):
            rule = {"generator": "mock.phone", "locale": locale}
            masks = kernel(rule, column("text", max_chars=limit))(PEOPLE).to_pylist()
            digits = [re.sub(r"\D", "", mask)[-10:] for mask in masks]
            assert all(re.fullmatch(r"[2-9][0-8]\d55501\d\d", number) for number in digits)


@pytest.mark.parametrize("name", ["mock.email", "mock.phone"])
@pytest.mark.parametrize("limit", [None, 31])
def test_the_unique_mode_has_no_collision(kernel: Kernels, column: Columns, name: str, limit: int | None) -> None:
    values = pa.array([f"user{i}@corp.de" for i in range(100_000)])
    rule = {"generator": name, "unique": True}
    masks = kernel(rule, column("text", unique=True, max_chars=limit))(values).to_pylist()
    assert len({mask.lower() for mask in masks}) == len(masks)
    assert max(map(len, masks)) <= (limit or 76)


def test_equal_values_get_one_mock_whatever_the_type(kernel: Kernels, column: Columns) -> None:
    values = pa.array(["anna", "bert", "anna"])
    one = kernel("mock.full_name", column("text"))(values).to_pylist()
    assert one[0] == one[2] != one[1]
    assert kernel("mock.full_name", column("varchar", length=100))(values).to_pylist() == one
    padded = kernel("mock.full_name", column("bpchar", length=60))
    assert padded(pa.array(["anna   ", "bert", "anna"])).to_pylist() == one


def test_pools_are_used_evenly(kernel: Kernels, column: Columns) -> None:
    values = pa.array([str(i) for i in range(69_000)])
    counts = kernel("mock.first_name", column("text"))(values).value_counts()
    assert len(counts) == 690
    assert all(40 <= entry["counts"].as_py() <= 165 for entry in counts)


def test_digests_tell_locales_apart() -> None:
    assert len({pool_digest(locale) for locale in LOCALES}) == len(LOCALES)
    assert pools_digest() == pools_digest()
