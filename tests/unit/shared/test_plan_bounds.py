"""What checks and partitions leave to a generator."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.catalogues import catalogue, plan, table
from tailrace_shared.catalogue.model import CheckConstraint, Partition, TableName
from tailrace_shared.plan.check_limits import CheckLimits, limits_of
from tailrace_shared.plan.partition_bounds import Span, covered


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("CHECK ((price > (0)::numeric))", CheckLimits(Decimal(0), True)),
        ("CHECK (((VALUE >= 1901) AND (VALUE <= 2155)))", CheckLimits(Decimal(1901), False, Decimal(2155), False)),
        ("CHECK ((((price >= 0.5) AND (price < (10)::double precision))))", CheckLimits(Decimal("0.5"), False, Decimal(10), True)),
        ("CHECK (((price)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[])))",
         CheckLimits(values=("a", "it's"))),
        ("CHECK ((price = ANY (ARRAY['a'::text, 'b'::text])))", CheckLimits(values=("a", "b"))),
        ("CHECK ((length(price) > 3))", None),
        ("CHECK (((price > 0) OR (price < (-9))))", None),
        ("CHECK ((price <> 3))", None),
        ("CHECK ((price > (other)::numeric))", None),
    ],
)  # fmt: skip
def test_a_plain_check_is_read_and_any_other_is_not(definition: str, expected: CheckLimits | None) -> None:
    assert limits_of(CheckConstraint(name="c", definition=definition, columns=("price",))) == expected


def parted(kind: str, *bounds: str) -> object:
    partitions = tuple(
        Partition(name=TableName(schema_name="public", name=f"p{n}"), oid=n, filenode=n, pages=0, rows=0, bytes=0, bounds=(text,))
        for n, text in enumerate(bounds, 10)
    )  # fmt: skip
    return table(
        "t", f"at {kind}!", kind="p", partitions=partitions, partition_columns=("at",), bounded_columns=("at",)
    )


RANGES = (
    "FOR VALUES FROM ('2022-02-01') TO ('2022-03-01')",
    "FOR VALUES FROM ('2022-01-01') TO ('2022-02-01')",
    "FOR VALUES FROM ('2023-01-01') TO (MAXVALUE)",
)


def test_partitions_that_touch_are_one_span() -> None:
    found = parted("date", *RANGES)
    column = found.columns[0]  # type: ignore[attr-defined]
    held = covered(found, column)  # type: ignore[arg-type]
    assert held is not None
    assert held.spans == (Span("2022-01-01", "2022-03-01"), Span("2023-01-01", ""))
    texts = parted("text", "FOR VALUES IN ('eu', 'us')", "FOR VALUES IN ('it''s')")
    listed = covered(texts, texts.columns[0])  # type: ignore[arg-type, attr-defined]
    assert listed is not None
    assert listed.values == ("eu", "us", "it's")
    several = parted("date", "FOR VALUES FROM ('2022-02-01', 3) TO ('2022-03-01', 4)")
    assert covered(several, several.columns[0]) is None  # type: ignore[arg-type, attr-defined]


@pytest.mark.parametrize(
    ("kind", "bounds", "rule", "fits"),
    [
        ("date", RANGES, "{generator: make.date, low: 2022-01-10, high: 2022-02-28}", True),
        ("date", RANGES, "{generator: make.date, low: 2022-01-10, high: 2022-03-01}", False),
        ("date", RANGES, "{generator: make.date, low: 2023-01-01, high: 2030-01-01}", True),
        ("timestamptz", ("FOR VALUES FROM ('2022-01-01 00:00:00+00') TO ('2022-02-01 00:00:00+00')",),
         "{generator: make.date, low: '2022-01-01', high: '2022-01-31T23:59:59'}", True),
        ("int4", ("FOR VALUES FROM (0) TO (100)",), "{generator: make.number, low: 0, high: 99}", True),
        ("int4", ("FOR VALUES FROM (0) TO (100)",), "{generator: make.number, low: 0, high: 100}", False),
        ("text", ("FOR VALUES IN ('eu', 'us')",), "{generator: make.choice, values: [eu]}", True),
        ("text", ("FOR VALUES IN ('eu', 'us')",), "{generator: make.choice, values: [eu, asia]}", False),
        ("text", ("FOR VALUES IN ('eu', 'us')",), "make.words", False),
    ],
)  # fmt: skip
def test_a_generated_partition_key_stays_inside_or_is_refused(
    kind: str, bounds: tuple[str, ...], rule: str, fits: bool
) -> None:
    found = catalogue(parted(kind, *bounds))  # type: ignore[arg-type]
    result = plan(f"tables:\n  public.t: {{mode: generate, rows: 9, columns: {{at: {rule}}}}}\n", found)
    assert [p.code for p in result.problems if p.severity == "error"] == ([] if fits else ["plan.partition-key"])
