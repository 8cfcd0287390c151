"""Conditions: what may stand inside of our own SQL, and what variables and the time of now become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.plan.conditions import (
    ConditionError,
    MissingVariable,
    quote_literal,
    resolve_condition,
    tokens,
    variables,
)

NOW = "2026-01-02 03:04:05+00"


def sql(text: str, **values: str) -> str:
    return resolve_condition(text, values.get, NOW).sql


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("a = ${X}", "a = 'it''s'"),
        ("a=${X}::text", "a= 'it''s' ::text"),
        ("a >= 1 -- ) all\nAND b", "a >= 1\nAND b"),
        ("a /* ; /* ( */ */ > 1", "a > 1"),
        ("a = ');--'", "a = ');--'"),
        ("a = E'\\'${'", None),
        ("a = $tag$ ) ; ${X} $tag$", None),
        ("a = $$ ) ; $$", "a = $$ ) ; $$"),
        ('"od""d(" = 1', '"od""d(" = 1'),
        ("a <@ b", "a <@ b"),
        ("name = 'two'\n'parts'", "name = 'two'\n'parts'"),
        ("at > now()", f"at > ('{NOW}'::timestamptz)"),
        ("at::date=CURRENT_DATE", f"at::date=('{NOW}'::timestamptz::date)"),
        ("t.now = 1", "t.now = 1"),
        ("x.current_date", "x.current_date"),
    ],
)  # fmt: skip
def test_text_keeps_its_meaning_and_variables_become_literals(text: str, becomes: str | None) -> None:
    if becomes is None:
        with pytest.raises(ConditionError, match="inside of quotes"):
            sql(text, X="it's")
    else:
        assert sql(text, X="it's") == becomes


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a) OR (b", 2), ("((a)", 1), ("a;b", 2), ("a = $1", 5), ("a = ${x}", 5), ("'a", 1), ('b = "a', 5), ("/* a", 1),
        ("$x$ a", 1), ("", 1), ("-- nothing", 1), ("a = pg_catalog.now()", 16), ('U&"r\\0061ndom"() < 1', 1), ("\0", 1),
    ],
)  # fmt: skip
def test_what_could_leave_its_parenthesis_is_refused_by_its_place(text: str, at: int) -> None:
    with pytest.raises(ConditionError) as caught:
        sql(text)
    assert caught.value.at == at


def test_a_variable_without_a_value_is_named_and_one_with_a_nul_is_refused() -> None:
    with pytest.raises(MissingVariable, match="NAME"):
        sql("a = ${NAME}")
    with pytest.raises(ConditionError) as caught:
        sql("a = ${NAME}", NAME="hunter2\0")
    assert "hunter2" not in caught.value.message
    assert variables("a = ${NAME} -- ${OTHER}\n AND b = ${MORE}") == {"NAME", "MORE"}


@given(st.text())
def test_any_text_is_one_literal_and_no_text_ends_a_condition_early(text: str) -> None:
    literal = quote_literal(text)
    assert [token.kind for token in tokens(f"a = {literal}")][2:] == ["string"]
    try:
        found = resolve_condition(text, lambda _: None, NOW)
    except ConditionError:
        return
    depth = 0
    for token in tokens(found.sql):
        depth += (token.text == "(") - (token.text == ")")
        assert depth >= 0
        assert token.text != ";"
    assert depth == 0
    assert "--" not in "".join(t.text for t in tokens(found.sql) if t.kind == "other") or "-" in text


@given(st.text(alphabet="ab'\"$(){}-/*;\n 1X${}", max_size=20))
def test_what_is_resolved_resolves_to_itself(text: str) -> None:
    try:
        once = resolve_condition(text, lambda _: "v", NOW).sql
    except ConditionError:
        return
    assert resolve_condition(once, lambda _: "v", NOW).sql == once


def test_places_of_the_result_lead_back_to_the_text() -> None:
    text = "now() > a AND nme = ${X}"
    found = resolve_condition(text, {"X": "long enough"}.get, NOW)
    assert text[found.place(found.sql.index("nme")) - 1 :].startswith("nme")
    assert text[found.place(found.sql.index("'long") + 3) - 1 :].startswith("${X}")
    assert found.calls == {"now"}
    assert not found.looks_up
    assert resolve_condition("a IN (SELECT 1)", lambda _: None, NOW).looks_up
