"""Masking changes: what arrives by a change equals what a snapshot would hold, and a failing kernel passes nothing on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tailrace_generator.changes import ChangeMasker
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.masking import TableMasker
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.changes.body import Body, decode_body, encode_body
from tailrace_shared.changes.controls import Heartbeat, Quarantined
from tailrace_shared.changes.rows import DELETE, INSERT, UPDATE, ChangeRows
from tailrace_shared.errors import TransientError
from tailrace_shared.generators import MaskColumn, parse_rule
from tailrace_shared.plan.model import DataKey, Fingerprints, Plan, PlannedColumn, PlannedTable
from tailrace_shared.types import ColumnType

INTEGER = ColumnType(name="bigint", base="int8", family="integer")
TEXT = ColumnType(name="text", base="text", family="text")
SECRET = MaskSecret(b"a secret of at least sixteen bytes")


def planned(name: str, kind: ColumnType, rule: object, domain: str) -> PlannedColumn:
    mask = MaskColumn(type=kind, domain=domain, family=kind.family)
    return PlannedColumn(name=name, type=kind, destination_type=kind, rule=parse_rule(rule), mask=mask, masked=True)


TABLE = PlannedTable(
    number=3,
    name=TableName(schema_name="public", name="person"),
    mode="carry",
    columns=(
        planned("id", INTEGER, "key", "person.id"),
        planned("email", TEXT, "mock.email", "email"),
        planned("note", TEXT, "duplicate", "note"),
    ),
    identity=("id",),
)
PLAN = Plan(
    release="0", run="01ARZ3NDEKTSV4RRFFQ69G5FAV", attempt=1, job_digest="j", source_system="s", destination_system="d",
    regime="bypass", tables=(*(TABLE.model_copy(update={"number": n}) for n in range(3)), TABLE),
    fingerprints=Fingerprints(mask_secret="m", catalogue="c", pools="p"), key=DataKey(id="k", wrapped=""),
)  # fmt: skip


def changes() -> ChangeRows:
    return ChangeRows(
        op=np.array([INSERT, UPDATE, UPDATE, DELETE], np.uint8),
        seq=np.arange(4, dtype=np.uint32),
        xid=np.full(4, 7, np.uint32),
        lsn=np.full(4, 99, np.uint64),
        time=np.zeros(4, np.int64),
        has_old=np.array([False, False, True, True]),
        gone=np.array([[False] * 3, [False, True, False], [False, False, True], [False] * 3]),
        old={0: pa.array([None, None, 5, 6], pa.int64())},
        names=("id", "email", "note"),
        columns=(
            pa.array([4, 5, 6, None], pa.int64()),
            pa.array(["a@b.example", None, "c@d.example", None]),
            pa.array(["x", "y", None, None]),
        ),
    )


def test_keys_map_alike_in_new_and_old_images_and_in_a_snapshot() -> None:
    body = ChangeMasker(PLAN, SECRET).mask(Body((), ((3, changes()),)))
    ((number, rows),) = body.tables
    snapshot = pa.record_batch(
        {"id": [4, 5, 6], "email": ["a@b.example", None, "c@d.example"], "note": ["x", "y", None]}
    )
    expected = TableMasker(TABLE, SECRET)(snapshot)
    assert number == 3
    assert rows.columns[0].to_pylist()[:3] == expected.column("id").to_pylist()
    assert rows.columns[1].to_pylist()[:3] == expected.column("email").to_pylist()
    assert rows.old[0].to_pylist()[2:] == expected.column("id").to_pylist()[1:]
    assert not {"a@b.example", "c@d.example"} & set(rows.columns[1].to_pylist())
    assert not {4, 5, 6} & set(rows.columns[0].to_pylist())


def test_what_did_not_come_is_still_said_not_to_have_come() -> None:
    body = ChangeMasker(PLAN, SECRET).mask(Body((), ((3, changes()),)))
    encoded = encode_body(body.controls, [rows for _, rows in body.tables])
    ((_, rows),) = decode_body(encoded.data, [3]).tables
    assert rows.gone is not None
    assert rows.gone.tolist() == [[False] * 3, [False, True, False], [False, False, True], [False] * 3]


def test_a_table_whose_kernel_fails_is_quarantined_and_nothing_of_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def fail(self: TableMasker, position: int, array: pa.Array) -> pa.Array:
        tries.append(position)
        raise TransientError("generator.kernel", "generator mock.email failed on public.person.email")

    monkeypatch.setattr(TableMasker, "column", fail)
    beat = Heartbeat(seq=9, token="t")
    body = ChangeMasker(PLAN, SECRET).mask(Body((beat,), ((3, changes()),)), tries=3)
    assert body.tables == ()
    assert body.controls == (
        Quarantined(
            seq=0, lsn=99, table=3, code="generator.kernel", why="generator mock.email failed on public.person.email"
        ),
        beat,
    )
    assert len(tries) == 3
