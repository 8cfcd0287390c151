"""What generator specs say of themselves, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailrace_shared.generators import (
    CATALOGUE_VERSION,
    GENERATORS,
    Constant,
    Key,
    MaskColumn,
    MaskDate,
    MaskHash,
    MaskNumber,
    MaskText,
    MockCity,
    MockEmail,
    MockPostcode,
    Null,
    Rule,
    catalogue_digest,
    char_limit,
    default_mask,
    key_limit,
    parse_rule,
)
from tailrace_shared.generators.regions import (
    COMPLEMENT_STARTS,
    POSITIVE_STARTS,
    first_free_above,
    largest_key,
    region_of,
    region_size,
)
from tailrace_shared.types import ColumnType, Frozen


def column(base: str, family: Any, *, domain: Any = None, unique: bool = False, **kind: Any) -> MaskColumn:
    limit = kind.pop("max_chars", None)
    of_type = ColumnType(name=base, base=base, family=family, **kind)
    return MaskColumn(type=of_type, domain="d", family=domain or family, unique=unique, max_chars=limit)


def codes(rule: Any, filled: MaskColumn) -> list[str]:
    return [refusal.code for refusal in parse_rule(rule).check(filled)]


@pytest.mark.parametrize("name", GENERATORS)
def test_every_spec_is_named_and_described(name: str) -> None:
    spec = GENERATORS[name]
    assert spec.model_fields["generator"].default == name
    assert spec.families
    assert spec.domain_family
    assert spec.__doc__
    assert all(field.description for option, field in spec.model_fields.items() if option != "generator")


@pytest.mark.parametrize(
    ("rule", "filled", "expected"),
    [
        ("key", column("float8", "float"), ["generator.family"]),
        ("key", column("int4", "integer", unique=True), []),
        ("key", column("text", "text", domain="integer"), ["generator.mixed-domain"]),
        ("key", column("numeric", "number", domain="integer", precision=4, scale=0), ["generator.key-digits"]),
        ("key", column("numeric", "number", domain="integer", precision=10, scale=2), []),
        ("mock.email", column("varchar", "text", length=5), ["generator.too-long"]),
        ("mock.email", column("text", "text", unique=True), ["generator.not-injective"]),
        ({"generator": "mock.email", "unique": True}, column("text", "text", unique=True), []),
        ({"generator": "mock.email", "unique": True}, column("varchar", "text", length=20), ["generator.too-long"]),
        ("mock.city", column("text", "text", unique=True), ["generator.not-injective"]),
        ("mock.city", column("int4", "integer"), ["generator.family"]),
        ("mock.postcode", column("varchar", "text", length=5), []),
        ("mask.text", column("text", "text", unique=True), []),
        ("mask.hash", column("text", "text", unique=True), []),
        ("mask.hash", column("varchar", "text", length=12, unique=True), ["generator.not-injective"]),
        ("mask.hash", column("varchar", "text", max_chars=3), ["generator.too-long"]),
        ("mask.number", column("int4", "integer", unique=True), ["generator.not-injective"]),
        ("mask.number", column("text", "text"), ["generator.family"]),
        ("mask.date", column("timetz", "time"), ["generator.family"]),
        ("mask.date", column("date", "date"), []),
        ("null", column("jsonb", "json", unique=True), []),
        ("duplicate", column("bytea", "bytes", unique=True), []),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_a_reason_and_a_remedy(
    rule: Any, filled: MaskColumn, expected: list[str]
) -> None:
    assert codes(rule, filled) == expected
    assert all(refusal.reason and refusal.remedy for refusal in parse_rule(rule).check(filled))


@pytest.mark.parametrize(
    ("value", "filled", "fits"),
    [
        (5, column("int2", "integer"), True), (40_000, column("int2", "integer"), False),
        ("x", column("int4", "integer"), False), ("1.5", column("numeric", "number", precision=3, scale=1), True),
        ("999.96", column("numeric", "number", precision=4, scale=1), False), (True, column("bool", "boolean"), True),
        ("yes", column("bool", "boolean"), False), ("2020-02-30", column("date", "date"), False),
        ("abcdef", column("varchar", "text", length=5), False), ("a", column("mood", "enum", enum=("a", "b")), True),
        ("c", column("mood", "enum", enum=("a", "b")), False), ("{}", column("jsonb", "json"), True),
    ],
)  # fmt: skip
def test_a_constant_must_fit_its_column(value: Any, filled: MaskColumn, fits: bool) -> None:
    assert (Constant(value=value).check(filled) == []) is fits


def test_injectivity_and_capacity_are_declared() -> None:
    text, key = column("text", "text"), column("uuid", "uuid")
    assert Key().injectivity(key) == "exact"
    assert Key().output_space(key) == 1 << 122
    assert MaskText().injectivity(text) == "exact"
    assert MaskHash().injectivity(text) == "probable"
    assert MaskHash().output_space(text) == 1 << 128
    assert MockEmail(unique=True).output_space(text) == 1 << 80
    assert MockCity().injective(text) is False
    assert MockCity().output_space(text) == 22_830
    assert Null().output_space(text) == 0
    assert MaskHash(length=8).max_output_chars(text) == 8
    assert MockCity().max_output_chars(column("varchar", "text", length=12)) == 12
    assert MockPostcode(locale="en_GB").check(column("varchar", "text", length=5))


def test_limits_are_the_smaller_of_type_and_destination() -> None:
    assert char_limit(column("varchar", "text", length=30, max_chars=20)) == 20
    assert char_limit(column("name", "text")) == 63
    assert char_limit(column("text", "text")) is None


def test_noise_is_relative_or_absolute() -> None:
    assert MaskNumber().share == 0.1
    assert MaskNumber(absolute=3).share is None
    with pytest.raises(ValidationError):
        MaskNumber(relative=0.1, absolute=3)


@pytest.mark.parametrize("family", ["text", "integer", "number", "float", "date", "timestamp", "time", "uuid"])
def test_the_policy_mask_has_a_generator_for_every_maskable_family(family: Any) -> None:
    assert default_mask(family).masks
    assert default_mask(family).check(column("x", family)) == []
    assert default_mask("json") == Null()


def test_rules_travel_through_json() -> None:
    class Job(Frozen):
        columns: dict[str, Rule]

    job = Job.model_validate(
        {"columns": {"a": "mock.email", "b": {"generator": "mask.hash", "length": 8}, "c": None, "d": "mask.date"}}
    )
    assert job.columns["b"] == MaskHash(length=8)
    assert job.columns["c"] == Null()
    assert job.columns["d"] == MaskDate()
    assert Job.model_validate_json(job.model_dump_json()) == job
    schema = Job.model_json_schema()["properties"]["columns"]["additionalProperties"]
    assert any("mock.email" in option.get("enum", ()) for option in schema["anyOf"])
    with pytest.raises(ValidationError, match=r"did you mean mock\.email"):
        Job.model_validate({"columns": {"a": "mock.emial"}})


def test_the_digest_is_stable_within_a_version() -> None:
    assert CATALOGUE_VERSION == 1
    assert catalogue_digest.__wrapped__() == catalogue_digest()
    assert len(catalogue_digest()) == 64


@pytest.mark.parametrize("starts", [POSITIVE_STARTS, COMPLEMENT_STARTS])
def test_regions_cover_int8_without_a_gap(starts: tuple[int, ...]) -> None:
    assert starts[-1] == 1 << 63
    assert list(starts) == sorted(set(starts))


def test_a_region_belongs_to_its_value_and_sign() -> None:
    assert region_of(0) == (0, 1)
    assert region_of(1) == region_of(32_767) == (1, 32_768)
    assert region_of(-1) == region_of(-32_768) == (-32_768, 0)
    assert region_of(-32_769) == (-(1 << 30), -32_768)
    assert region_of(-(1 << 31)) == (-(1 << 31), -(1 << 30))
    assert region_size(1 << 30) == 1 << 30
    assert first_free_above(5) == 32_768
    with pytest.raises(ValueError, match="not an int8"):
        region_of(1 << 63)


def test_a_numeric_joined_with_integers_knows_its_largest_key() -> None:
    assert [largest_key(digits) for digits in (4, 5, 9, 10, 16, 19)] == [
        0, 32_767, 32_767, (1 << 31) - 1, (1 << 53) - 1, (1 << 63) - 1,
    ]  # fmt: skip
    assert key_limit(column("numeric", "number", domain="integer", precision=7, scale=2)) == 32_767
    assert key_limit(column("numeric", "number", precision=7, scale=2)) is None
    assert key_limit(column("int4", "integer")) is None
