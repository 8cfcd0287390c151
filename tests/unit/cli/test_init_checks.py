"""What a draft proposes for a column that a check constrains."""

from __future__ import annotations

import pytest

from support.catalogues import column
from tailrace.init_checks import meeting
from tailrace.init_rules import Candidate
from tailrace_shared.catalogue.model import CheckConstraint
from tailrace_shared.generators import Constant, Duplicate, GeneratorSpec, MaskText, MockPhone, Null

PHONE = MockPhone(generator="mock.phone")
PERSONAL = (PHONE, MaskText(), Null(), None)


@pytest.mark.parametrize(
    ("definition", "proposed", "first"),
    [
        ("CHECK ((char_length(a) <= 255))", PERSONAL, PHONE),
        ("CHECK ((a ~ '^[0-9]+$'::text))", PERSONAL, MaskText()),
        ("CHECK ((a ~ '^DE[0-9]+$'::text))", PERSONAL, Null()),
        ("CHECK (((a IS NOT NULL) AND (a ~ '^DE[0-9]+$'::text)))", PERSONAL, MaskText()),
        (
            "CHECK ((a = ANY (ARRAY['x'::text, 'y'::text])))",
            (MaskText(), Constant(value="x"), None),
            Constant(value="x"),
        ),
        ("CHECK ((a = ANY (ARRAY['x'::text, 'y'::text])))", (Duplicate(), MaskText()), Duplicate()),
        ("CHECK ((a ~ '^[0-9]+$'::text))", (MaskText(), Duplicate()), MaskText()),
    ],
)
def test_the_first_that_keeps_the_check_is_proposed_and_none_is_lost(
    definition: str, proposed: tuple[GeneratorSpec | None, ...], first: GeneratorSpec
) -> None:
    check = CheckConstraint(name="c", definition=definition, columns=("a",))
    found = meeting([Candidate(rule, "") for rule in proposed], column("a text"), [check])
    assert found[0].rule == first
    assert {repr(c.rule) for c in found} == {repr(rule) for rule in proposed}


@pytest.mark.parametrize(
    ("definition", "value"),
    [
        ("CHECK (((mode <> 1) OR (a <> '{}'::jsonb)))", '{"masked": true}'),
        ("CHECK ((jsonb_typeof(a) = 'array'::text))", "[]"),
        ("CHECK ((jsonb_typeof(a) = 'object'::text))", "{}"),
    ],
)
def test_a_document_that_says_nothing_is_of_the_kind_that_a_check_asks_for(definition: str, value: str) -> None:
    check = CheckConstraint(name="c", definition=definition, columns=("a", "mode"))
    found = meeting([Candidate(Constant(value="{}"), ""), Candidate(None, "")], column("a jsonb!"), [check])
    assert [c.rule for c in found] == [Constant(value=value), None]
