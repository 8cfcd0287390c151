"""A table's masking: whole batches, same schema and order, and failures that name the column and never a value."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.masking import TableMasker
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.errors import TransientError
from tailrace_shared.generators import MaskColumn, parse_rule
from tailrace_shared.plan.model import PlannedColumn, PlannedTable
from tailrace_shared.types import ColumnType

TEXT = ColumnType(name="text", base="text", family="text")
INT = ColumnType(name="integer", base="int4", family="integer")
SECRET = MaskSecret.of("a secret for tests")


def column(name: str, kind: ColumnType, rule: str) -> PlannedColumn:
    spec = parse_rule(rule)
    mask = None if rule in ("duplicate", "null") else MaskColumn(type=kind, domain=f"d.{name}", family=kind.family)
    return PlannedColumn(name=name, type=kind, destination_type=kind, rule=spec, mask=mask)


def table(*columns: PlannedColumn) -> PlannedTable:
    return PlannedTable(number=0, name=TableName(schema_name="public", name="t"), mode="carry", columns=columns)


def batch() -> pa.RecordBatch:
    return pa.record_batch(
        {"id": pa.array([1, 2, None], pa.int32()), "name": ["Ann", None, "Bo"], "note": ["keep", "", None]}
    )


def test_each_column_is_made_by_its_generator_and_the_rest_is_as_it_was() -> None:
    masker = TableMasker(
        table(column("id", INT, "key"), column("name", TEXT, "mock.first_name"), column("note", TEXT, "duplicate")),
        SECRET,
    )
    made = masker(batch())
    assert made.schema == batch().schema
    assert made.column("note").equals(batch().column("note"))
    assert made.column("id").null_count == 1
    assert made.column("name").null_count == 1
    assert made.column("id").drop_null().to_pylist() != [1, 2]
    assert set(made.column("name").drop_null().to_pylist()).isdisjoint({"Ann", "Bo"})


def test_a_nulled_column_holds_nothing() -> None:
    masker = TableMasker(
        table(column("id", INT, "duplicate"), column("name", TEXT, "null"), column("note", TEXT, "duplicate")), SECRET
    )
    assert masker(batch()).column("name").null_count == 3


def test_a_table_without_a_masked_column_passes() -> None:
    assert TableMasker(table(column("id", INT, "duplicate")), SECRET).passes
    assert not TableMasker(table(column("id", INT, "key")), SECRET).passes


def test_a_failing_kernel_names_the_column_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = TableMasker(table(column("id", INT, "key")), SECRET)

    def fail(_: pa.Array) -> pa.Array:
        raise ValueError("cannot mask 'alice@example.com'")

    monkeypatch.setattr(masker, "_columns", [masker._columns[0]._replace(kernel=fail)])
    with pytest.raises(TransientError) as caught:
        masker(pa.record_batch({"id": pa.array([1], pa.int32())}))
    assert "public.t.id" in str(caught.value)
    assert "alice" not in str(caught.value)


def test_a_kernel_that_loses_rows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = TableMasker(table(column("id", INT, "key")), SECRET)
    monkeypatch.setattr(masker, "_columns", [masker._columns[0]._replace(kernel=lambda array: array[:1])])
    with pytest.raises(TransientError, match="type or length"):
        masker(pa.record_batch({"id": pa.array([1, 2], pa.int32())}))
