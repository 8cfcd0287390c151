"""Unique indexes, checks, partition keys and types: proved, estimated, or refused."""

from __future__ import annotations

import pytest

from support.catalogues import (
    catalogue,
    column,
    column_type,
    errors,
    plain_index,
    plan,
    planned,
    table,
    the_error,
    unique,
    warnings,
)
from tailrace_shared.catalogue.model import CheckConstraint, Index
from tailrace_shared.generators import Constant, Duplicate, Key, MaskColumn, MockEmail, Null
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.fit import misfit
from tailrace_shared.plan.model import Plan
from tailrace_shared.types import ColumnType


def verdict(found: Plan, about: str) -> str:
    return next(p.verdict for p in found.proofs if p.about == about)


def one(*columns: str, indexes: tuple[Index, ...] = (), **more: object):  # type: ignore[no-untyped-def]
    return catalogue(table("t", *columns, indexes=indexes, **more))  # type: ignore[arg-type]


def rules(**columns: str) -> str:
    return "policy: pass\ntables: {public.t: {columns: {" + ", ".join(f"{c}: {r}" for c, r in columns.items()) + "}}}"


def test_a_bijection_proves_a_unique_index() -> None:
    found = planned(rules(a="key", b="mask.text"), one("a int4!", "b text", indexes=(unique("ab", "a", "b"),)))
    assert verdict(found, "public.t unique ab") == "proved"


def test_a_repeating_generator_in_a_composite_index_is_refused_by_name() -> None:
    result = plan(rules(b="mock.city"), one("a int4", "b text", indexes=(unique("ab", "a", "b"),)))
    error = the_error(result)
    assert (error.code, error.where) == ("plan.not-unique", "public.t index ab")
    assert "b (mock.city)" in error.message


def test_a_column_that_is_unique_without_the_repeating_one_saves_the_index() -> None:
    found = planned(
        rules(b="mock.city"), one("a int4", "b text", indexes=(unique("ab", "a", "b"), unique("a_key", "a")))
    )
    assert verdict(found, "public.t unique ab") == "proved"


def test_a_repeating_generator_on_a_unique_column_is_refused_once() -> None:
    assert [c for c, _ in errors(plan(rules(a="mock.city"), one("a text", indexes=(unique("a_key", "a"),))))] == [
        "plan.generator-not-injective"
    ]


def test_a_probable_generator_is_estimated_with_the_counted_values() -> None:
    source = one("a text", indexes=(unique("a_key", "a"),))
    found = planned(rules(a="mock.email"), source, facts=SourceFacts(distinct={"public.t.a": 1_000_000}))
    proof = next(p for p in found.proofs if p.about == "public.t unique a_key")
    assert (proof.verdict, proof.reason) == (
        "estimated",
        "collision probability 4e-13 for 1,000,000 distinct values of a",
    )


def test_a_likely_collision_is_refused() -> None:
    source = one("a text", indexes=(unique("a_key", "a"),))
    rule = rules(a="{generator: mask.hash, length: 20}")
    assert planned(rule, source, facts=SourceFacts(distinct={"public.t.a": 10**6}))
    assert the_error(plan(rule, source, facts=SourceFacts(distinct={"public.t.a": 10**12}))).code == "plan.collision"


@pytest.mark.parametrize(("nulls_not_distinct", "code"), [(True, ["plan.not-unique"]), (False, [])])
def test_nulls_repeat_unless_the_index_says_otherwise(nulls_not_distinct: bool, code: list[str]) -> None:
    index = unique("a_key", "a", nulls_not_distinct=nulls_not_distinct)
    assert [c for c, _ in errors(plan(rules(a="null"), one("a text", indexes=(index,))))] == code


def test_an_index_that_only_the_destination_has_is_verified_by_the_load() -> None:
    source, destination = one("a text"), one("a text", indexes=(unique("a_key", "a"),))
    result = plan(rules(a="key"), source, destination)
    assert result.plan
    assert verdict(result.plan, "public.t unique a_key") == "verified-after"
    assert ("plan.unique-in-destination-only", "public.t index a_key") in warnings(result)


def test_a_partial_index_whose_predicate_is_masked_is_not_proved() -> None:
    index = unique("a_live", "a", predicate="live", uses=("a", "live"))
    source = one("a text", "live bool", indexes=(index,))
    assert verdict(planned(rules(a="key"), source), "public.t unique a_live") == "proved"
    assert verdict(planned(rules(a="key", live="null"), source), "public.t unique a_live") == "verified-after"


@pytest.mark.parametrize(
    ("predicate", "rule", "proof"),
    [
        ("(gone IS NULL)", "mask.text", "proved"),
        ("((gone IS NOT NULL) AND live)", "key", "proved"),
        ('("gone" IS NULL)', "key", "proved"),
        ("((gone IS NULL) OR (gone = 'no'::text))", "mask.text", "verified-after"),
        ("(gone IS NULL)", "{generator: constant, value: x}", "proved"),
        ("(gone IS NULL)", "null", "verified-after"),
    ],
)
def test_a_mask_that_keeps_nulls_leaves_an_index_the_rows_that_it_picks_by_them(
    predicate: str, rule: str, proof: str
) -> None:
    index = unique("a_kept", "a", predicate=predicate, uses=("a", "gone", "live"))
    source = one("a text", "gone text", "live bool", indexes=(index,))
    assert verdict(planned(rules(a="key", gone=rule), source), "public.t unique a_kept") == proof


def test_a_unique_expression_index_is_proved_over_lower_and_refused_otherwise() -> None:
    lower = unique("a_lower", "a", columns=(None,), expressions=("lower(a)",))
    assert verdict(planned(rules(a="key"), one("a text", indexes=(lower,))), "public.t unique a_lower") == "proved"
    digest = unique("a_md5", "a", columns=(None,), expressions=("md5(a)",))
    assert the_error(plan(rules(a="key"), one("a text", indexes=(digest,)))).code == "plan.unique-expression"
    assert verdict(planned(rules(a="duplicate"), one("a text", indexes=(digest,))), "public.t unique a_md5") == "proved"


def test_exclusion_constraints_and_checks_over_masked_columns_are_warned_of() -> None:
    index = plain_index("no_overlap", "d", exclusion=True, constraint="no_overlap")
    check = CheckConstraint(name="later", definition="CHECK (d > '2000-01-01')", columns=("d",))
    result = plan(rules(d="mask.date"), one("d date", indexes=(index,), checks=(check,)))
    assert {c for c, _ in warnings(result)} == {"plan.exclusion", "plan.check"}
    assert not warnings(plan(rules(d="duplicate"), one("d date", indexes=(index,), checks=(check,))))


def test_a_column_that_partitions_the_destination_must_be_duplicated() -> None:
    source = one("d date", "x text")
    keyed = {"partition_columns": ("d",), "bounded_columns": ("d",)}
    by_date = catalogue(table("t", "d date", "x text", kind="p", partitions=[_leaf()], **keyed))
    assert the_error(plan(rules(d="mask.date"), source, by_date)).code == "plan.partition-key"
    assert planned(rules(x="mask.text"), source, by_date)


def _leaf() -> dict[str, object]:
    return {
        "name": {"schema_name": "public", "name": "t1"}, "oid": 9, "filenode": 9, "pages": 1, "rows": 1.0, "bytes": 8192,
    }  # fmt: skip


def test_null_into_not_null_and_a_missing_unfed_or_nullable_column_are_seen() -> None:
    source = one("a text", "b text", "c text!")
    destination = one("a text!", "c text!", "d text!", column("e text!", has_default=True))
    result = plan(rules(c="null"), source, destination)
    assert sorted(errors(result)) == [
        ("plan.missing-column", "public.t.b"), ("plan.not-null", "public.t.c"), ("plan.unfed-column", "public.t.d"),
    ]  # fmt: skip
    assert warnings(result) == [("plan.nullable-source", "public.t.a")]


@pytest.mark.parametrize(
    ("source", "destination", "fits"),
    [
        ("int4", "int8", True), ("int8", "int4", False), ("int4", "numeric(10,0)", True), ("int4", "numeric(10,2)", False),
        ("int4", "float8", True), ("int8", "float8", False), ("numeric(10,2)", "numeric(12,2)", True),
        ("numeric(10,2)", "numeric(10,4)", False), ("numeric", "numeric(10,2)", False), ("numeric(10,2)", "numeric", True),
        ("varchar(40)", "text", True), ("varchar(40)", "varchar(20)", False), ("text", "varchar(20)", False),
        ("bpchar(5)", "varchar(5)", True), ("text", "citext", True), ("enum(a,b)", "enum(b,a,c)", True),
        ("enum(a,b)", "enum(a)", False), ("json", "jsonb", True), ("timestamp", "timestamptz", False),
        ("date", "timestamp", True), ("uuid", "text", True), ("uuid", "varchar(10)", False), ("int4", "text", True),
        ("text", "int4", False), ("timestamptz(6)", "timestamptz(3)", False), ("inet", "inet", True), ("inet", "cidr", False),
    ],
)  # fmt: skip
def test_a_type_that_cannot_take_every_value_is_a_misfit(source: str, destination: str, fits: bool) -> None:
    ours, theirs = column_type(source), column_type(destination)
    mask = MaskColumn(type=ours, domain="d", family=ours.family, max_chars=theirs.length)
    assert (misfit(ours, theirs, Duplicate(), mask) is None) == fits
    assert misfit(ours, theirs, Null(), mask) is None


def array(element: str) -> ColumnType:
    inner = column_type(element)
    return ColumnType(name=f"{element}[]", base=f"_{inner.base}", family="other", element=inner)


def made_of(*parts: str) -> ColumnType:
    return ColumnType(name="public.pair", base="pair", family="other", parts=parts)


def bits(name: str, base: str, length: int | None) -> ColumnType:
    return ColumnType(name=name, base=base, family="other", length=length)


def vector(name: str) -> ColumnType:
    return ColumnType(name=name, base="vector", family="other")


def interval(name: str) -> ColumnType:
    return ColumnType(name=name, base="interval", family="interval")


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        (array("int4"), array("int8"), True), (array("int8"), array("int4"), False),
        (array("varchar(9)"), array("varchar(9)"), True), (array("varchar(9)"), array("varchar(8)"), False),
        (array("enum(a,b)"), array("enum(b,a)"), True), (array("enum(a,b)"), array("enum(a)"), False),
        (array("int4"), column_type("int4"), False), (array("int4"), column_type("text"), True),
        (made_of("a int4", "b text"), made_of("a int4", "b text"), True), (made_of("a int4", "b text"), made_of("a int4"), False),
        (bits("bit(3)", "bit", 3), bits("bit(4)", "bit", 4), False), (bits("v", "varbit", 3), bits("v", "varbit", 4), True),
        (bits("v", "varbit", None), bits("v", "varbit", 4), False), (bits("v", "varbit", 4), bits("v", "varbit", None), True),
        (interval("interval"), interval("interval year to month"), False), (interval("interval day"), interval("interval"), True),
        (interval("interval day"), interval("interval day"), True), (interval("interval"), interval("public.span"), True),
        (vector("public.vector(3)"), vector("public.vector(4)"), False), (vector("e.vector(3)"), vector("public.vector(3)"), True),
        (vector("public.vector(3)"), vector("public.vector"), True), (vector("public.vector"), vector("public.vector(3)"), False),
    ],
)  # fmt: skip
def test_arrays_composites_bits_and_intervals_are_looked_into(ours: ColumnType, theirs: ColumnType, fits: bool) -> None:
    mask = MaskColumn(type=ours, domain="d", family=ours.family)
    assert (misfit(ours, theirs, Duplicate(), mask) is None) == fits


def test_a_generator_of_bounded_length_fits_a_narrower_column_and_a_shape_keeping_one_does_not() -> None:
    ours, theirs = column_type("text"), column_type("varchar(80)")
    mask = MaskColumn(type=ours, domain="d", family="text", max_chars=80)
    assert misfit(ours, theirs, MockEmail(), mask) is None
    assert misfit(ours, theirs, Key(), mask)
    assert misfit(ours, theirs, Constant(value="x"), mask) is None
