"""Column types from catalogue rows: domains, modifiers, families, equality."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, name, table
from tailrace_shared.catalogue.columns import column_of, limits

INT4, VARCHAR, SHORT, SHORTER, OWN = 23, 1043, 5000, 5001, 6000
VARCHARS, MOOD, MOODS, DATE, PAIR = 1015, 6001, 6002, 6003, 6004


def type_row(oid: int, type_name: str, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "oid": oid, "schema": "pg_catalog", "name": type_name, "kind": "b", "base": 0, "modifier": -1, "not_null": False,
        "has_default": False, "labels": [], "checks": [], "definitions": [], "element": None, "parts": [],
    }  # fmt: skip
    return base | more


def column_row(oid: int, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "c", "number": 1, "type": oid, "modifier": -1, "type_name": "shown", "not_null": False, "has_default": False,
        "identity": "", "generated": "", "nondeterministic": False, "locale": None, "proved": True,
    }  # fmt: skip
    return base | more


TYPES = {
    INT4: type_row(INT4, "int4"),
    VARCHAR: type_row(VARCHAR, "varchar"),
    SHORT: type_row(SHORT, "short", schema="public", kind="d", base=VARCHAR, modifier=16, not_null=True),
    SHORTER: type_row(SHORTER, "shorter", schema="public", kind="d", base=SHORT, has_default=True),
    OWN: type_row(OWN, "uuid", schema="other"),
    VARCHARS: type_row(VARCHARS, "_varchar", element=VARCHAR),
    MOOD: type_row(MOOD, "mood", schema="public", kind="e", labels=["sad", "ok"]),
    MOODS: type_row(MOODS, "_mood", schema="public", element=MOOD),
    DATE: type_row(DATE, "date", schema="public", kind="e", labels=["today"]),
    PAIR: type_row(PAIR, "int4", schema="public", kind="c", parts=["a integer", "b text"]),
}


@pytest.mark.parametrize(
    ("base", "modifier", "expected"),
    [
        ("varchar", 44, (40, None, None)), ("bpchar", 5, (1, None, None)), ("text", -1, (None, None, None)),
        ("numeric", (10 << 16 | 2) + 4, (None, 10, 2)), ("numeric", (3 << 16 | (-2 & 0x7FF)) + 4, (None, 3, -2)),
        ("numeric", (1000 << 16 | 1000) + 4, (None, 1000, 1000)), ("numeric", -1, (None, None, None)),
        ("timestamptz", 3, (None, None, 3)), ("time", 0, (None, None, 0)), ("interval", 0x7FFF0003, (None, None, 3)),
        ("interval", 0x7FFFFFFF, (None, None, None)), ("char", -1, (1, None, None)), ("name", -1, (63, None, None)),
    ],
)  # fmt: skip
def test_modifiers_are_lengths_precisions_and_scales(base: str, modifier: int, expected: tuple[object, ...]) -> None:
    assert limits(base, modifier) == expected


def test_a_domain_over_a_domain_ends_at_the_base_type_with_all_their_limits() -> None:
    found = column_of(column_row(SHORTER), TYPES)
    assert (found.type.base, found.type.family, found.type.length) == ("varchar", "text", 12)
    assert not found.nullable
    assert found.has_default


def test_somebody_s_own_type_that_is_called_like_one_of_ours_is_other() -> None:
    assert column_of(column_row(OWN), TYPES).type.family == "other"


@pytest.mark.parametrize(
    ("locale", "loose"),
    [("und-u-ks-level2", False), ("en-US-u-ks-level1", True), ("und-u-ka-shifted", True), (None, True)],
)
def test_a_nondeterministic_collation_folds_and_one_beyond_case_is_loose(locale: str | None, loose: bool) -> None:
    found = column_of(column_row(VARCHAR, nondeterministic=True, locale=locale), TYPES)
    assert found.type.folded
    assert found.loose is loose


def test_tables_are_found_by_name_whatever_order_they_came_in() -> None:
    found = catalogue(table("b.t", "a int4"), table("a.z", "a int4"), table("a.b", "a int4"))
    assert [str(t.name) for t in found.tables] == ["a.b", "a.z", "b.t"]
    assert all(found.table(t.name) is t for t in found.tables)
    assert found.table(name("a.c")) is None
    assert found.table(name("c.t")) is None


def test_an_array_knows_its_elements_and_the_limits_on_them() -> None:
    texts = column_of(column_row(VARCHARS, modifier=24), TYPES).type
    assert (texts.base, texts.family, texts.length, texts.enum) == ("_varchar", "other", None, ())
    assert texts.element
    assert (texts.element.base, texts.element.length) == ("varchar", 20)
    moods = column_of(column_row(MOODS), TYPES).type
    assert moods.element
    assert (moods.enum, moods.element.family, moods.element.enum) == ((), "enum", ("sad", "ok"))


@pytest.mark.parametrize("oid", [OWN, DATE, PAIR])
def test_a_type_of_ones_own_that_is_called_like_one_of_postgresql_travels_as_text(oid: int) -> None:
    found = column_of(column_row(oid), TYPES).type
    assert found.wire == "text"
    assert found.family in ("other", "enum")
    assert found.base.startswith(("public.", "other."))
