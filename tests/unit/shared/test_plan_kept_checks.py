"""Checks over masked columns: which hold by what the generators keep, and which only the values decide."""

from __future__ import annotations

import pytest

from support.catalogues import column_type
from tailrace_shared.catalogue.model import CheckConstraint
from tailrace_shared.generators import (
    Constant,
    GeneratorSpec,
    Key,
    MaskColumn,
    MaskNumber,
    MaskText,
    MockEmail,
    MockFullName,
    Null,
)
from tailrace_shared.plan.kept_checks import keeps_check, without_alike

MOCK = MockFullName(generator="mock.full_name")


@pytest.mark.parametrize(
    ("definition", "kind", "rule", "kept"),
    [
        ("CHECK ((a >= 0))", "int4", Key(), True),
        ("CHECK ((a > 0))", "int4", Key(), True),
        ("CHECK ((a >= 10))", "int4", Key(), False),
        ("CHECK ((a >= 0.5))", "numeric", MaskNumber(), False),
        ("CHECK ((a >= (0)::numeric))", "numeric", MaskNumber(), True),
        ("CHECK ((a > (0)::numeric))", "numeric", MaskNumber(), False),
        ("CHECK ((a >= 0))", "int4", MaskNumber(absolute=5), False),
        ("CHECK (((a >= 0) OR (b IS NULL)))", "int4", MaskNumber(), False),
        ("CHECK ((num_nonnulls(b, a, c) = 1))", "int8", Key(), True),
        ("CHECK ((num_nonnulls(b, a, c) = 1))", "text", Null(), False),
        ("CHECK ((a IS NULL) <> (b IS NULL))", "uuid", Key(), True),
        ("CHECK ((((a IS NULL) AND (b = 'x'::text)) OR ((a IS NOT NULL) AND (b = 'y'::text))))", "int8", Key(), True),
        ("CHECK ((char_length(a) <= 255))", "text", MaskText(), True),
        ("CHECK ((char_length((a)::text) <= 20))", "text", MaskText(), True),
        ("CHECK ((char_length(a) <= 255))", "text", MOCK, True),
        ("CHECK ((char_length(a) <= 3))", "text", MOCK, False),
        ("CHECK (((a)::text <> ''::text))", "varchar(40)", MaskText(), True),
        ("CHECK (((a)::text <> ''::text))", "varchar(40)", MOCK, True),
        ("CHECK ((a <> ''::text))", "text", Constant(value=""), False),
        ("CHECK (((a)::text ~ '^[0-9]+$'::text))", "text", MaskText(), True),
        (r"CHECK ((a ~ '^\d{5}(-\d{4})?$'::text))", "text", MaskText(), True),
        ("CHECK ((a ~* '^[A-Za-z0-9._%-]+@[A-Za-z0-9.-]+[.][A-Za-z]+$'::text))", "text", MaskText(), True),
        ("CHECK ((a ~* '^[A-Za-z0-9._%-]+@[A-Za-z0-9.-]+[.][A-Za-z]+$'::text))", "text", MOCK, False),
        ("CHECK ((a ~ '^[0-4]+$'::text))", "text", MaskText(), False),
        ("CHECK ((a ~ '^DE[0-9]+$'::text))", "text", MaskText(), False),
        ("CHECK ((a ~ '^[[:alpha:]]+$'::text))", "text", MaskText(), False),
        ("CHECK ((a ~~ '%@%'::text))", "text", MaskText(), True),
        ("CHECK ((a ~~ 'x%'::text))", "text", MaskText(), False),
        ("CHECK (((a !~ '[@ ]'::text) OR (b > 3)))", "text", Key(), True),
        ("CHECK ((a = lower(a)))", "text", MaskText(), True),
        ("CHECK (((a)::text = lower((a)::text)))", "varchar(90)", MockEmail(generator="mock.email"), True),
        ("CHECK (((a)::text = lower((a)::text)))", "varchar(90)", MOCK, False),
        ("CHECK (((a IS NULL) OR ((a)::text = lower((a)::text))))", "varchar(90)", MaskText(), True),
        ("CHECK (((a)::text = upper((a)::text)))", "varchar(9)", Key(), True),
        ("CHECK ((((a)::text = ''::text) = ((b)::text = ''::text)))", "varchar(9)", MaskText(), True),
        ("CHECK ((a ~ 'x'::text))", "text", Null(), True),
        ("CHECK (((a IS NOT NULL) AND (a ~ 'x'::text)))", "text", Null(), False),
        ("CHECK ((a = ANY (ARRAY['x'::text, 'y'::text])))", "text", Constant(value="y"), True),
        ("CHECK ((a = ANY (ARRAY['x'::text, 'y'::text])))", "text", Constant(value="z"), False),
        ('CHECK (("A b" IS NOT NULL))', "int4", Key(), True),
    ],
)
def test_a_check_is_kept_by_what_the_generator_keeps(
    definition: str, kind: str, rule: GeneratorSpec, kept: bool
) -> None:
    name = "A b" if "A b" in definition else "a"
    check = CheckConstraint(name="c", definition=definition, columns=(name,))
    of = column_type(kind)
    mask = MaskColumn(type=of, domain="d", family=of.family, max_chars=of.length)
    assert keeps_check(check, name, rule, mask) is kept


def test_the_check_of_a_domain_speaks_of_a_value() -> None:
    check = CheckConstraint(name="c", definition="CHECK ((VALUE >= 0))", columns=("a",), domain="public.positive")
    mask = MaskColumn(type=column_type("int4"), domain="d", family="integer")
    assert keeps_check(check, "a", Key(), mask)


@pytest.mark.parametrize(
    ("definition", "domains", "kept"),
    [
        ("CHECK ((a <> b))", ("d", "d"), True),
        ("CHECK (((b IS NULL) OR (b <> a)))", ("d", "d"), True),
        ("CHECK ((a IS DISTINCT FROM b))", ("d", "d"), True),
        ("CHECK ((a < b))", ("d", "d"), False),
        ("CHECK ((a <> b))", ("d", "e"), False),
    ],
)
def test_columns_that_one_bijection_masks_compare_as_before(
    definition: str, domains: tuple[str, str], kept: bool
) -> None:
    check = CheckConstraint(name="c", definition=definition, columns=("a", "b"))
    rest = without_alike(check, dict(zip("ab", domains, strict=True)))
    masks = [MaskColumn(type=column_type("int8"), domain=domain, family="integer") for domain in domains]
    assert all(keeps_check(rest, name, Key(), mask) for name, mask in zip("ab", masks, strict=True)) is kept
