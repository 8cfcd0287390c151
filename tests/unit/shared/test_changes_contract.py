"""The change record's contract: headers and bodies come back as they were, and strangers are refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_shared.changes import (
    ChangeHead,
    ChangeRows,
    ColumnAdded,
    IdentityChanged,
    RelationChanged,
    Truncated,
    change_batch,
    change_head_of,
    decode_body,
    encode_body,
    headers_of_change,
)
from tailrace_shared.errors import TerminalError

HEAD = ChangeHead(
    run="01J9Z3N5X0000000000000000A", kind="changes", lane=0, sequence=3, system="7400000000000000001", timeline=2,
    previous=1 << 40, last=(1 << 40) + 9, end=(1 << 40) + 99, piece=0, final=True, transactions=2, first_xid=4_294_967_295,
    last_xid=5, changes=12, bytes=999, first_time=1_700_000_000_000_000, last_time=1_700_000_000_000_001, tables=(4, 1, 4),
    schema="f" * 32, plan="p" * 64, key="k1", traceparent="00-a-b-01",
)  # fmt: skip


@pytest.mark.parametrize("head", [HEAD, HEAD._replace(tables=(), final=False, piece=7, kind="masked-changes", key="")])
def test_a_head_comes_back_from_its_headers(head: ChangeHead) -> None:
    assert change_head_of(headers_of_change(head)) == head


def test_a_format_of_another_release_is_told_from_a_strangers_message() -> None:
    headers = dict(headers_of_change(HEAD))
    with pytest.raises(TerminalError, match="format 2"):
        change_head_of((headers | {"version": b"2"}).items())
    for wrong in ({"content-type": b"x"}, {"kind": b"raw"}, {"previous": b"-"}, {"tables": b"a"}):
        with pytest.raises(TerminalError, match="did not write"):
            change_head_of((headers | wrong).items())
    with pytest.raises(TerminalError):
        change_head_of([])


def rows(draw_op: list[int], gone: np.ndarray | None, columns: list[pa.Array], old: dict[int, pa.Array]) -> ChangeRows:
    count = len(draw_op)
    return ChangeRows(
        np.array(draw_op, np.uint8),
        np.arange(count, dtype=np.uint32),
        np.full(count, 4_294_967_295, np.uint32),
        np.full(count, 1 << 63, np.uint64),
        np.arange(count, dtype=np.int64) - 5,
        np.array([op == 2 for op in draw_op], np.bool_),
        gone,
        old,
        tuple(f"c{i}" for i in range(len(columns))),
        tuple(columns),
    )


@given(st.integers(1, 70), st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=9), st.data())
@settings(max_examples=60, deadline=None)
def test_rows_come_back_whatever_the_number_of_columns(width: int, ops: list[int], data: st.DataObject) -> None:
    texts = st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=len(ops), max_size=len(ops))
    columns = [pa.array(data.draw(texts), pa.string()) for _ in range(width)]
    bits = np.array(data.draw(st.lists(st.booleans(), min_size=width * len(ops), max_size=width * len(ops))), np.bool_)
    gone = bits.reshape(len(ops), width)
    old = {i: columns[i] for i in data.draw(st.sets(st.integers(0, width - 1)))}
    made = rows(ops, gone, columns, old)
    (back,) = (r for _, r in decode_body(encode_body([], [made]).data, [5]).tables)
    assert (back.gone if back.gone is not None else np.zeros_like(gone)).tolist() == gone.tolist()
    assert back.columns == made.columns
    assert back.old == made.old
    for name in ("op", "seq", "xid", "lsn", "time", "has_old"):
        assert getattr(back, name).tolist() == getattr(made, name).tolist()


def test_columns_called_like_ours_are_kept_apart() -> None:
    made = rows([0], None, [pa.array([7]), pa.array(["x"])], {0: pa.array([7])})
    named = ChangeRows(*(getattr(made, f) for f in made.__slots__[:8]), ("_op", "_gone"), made.columns)
    back = ChangeRows.of(change_batch(named))
    assert (back.names, [c.to_pylist() for c in back.columns]) == (("_op", "_gone"), [[7], ["x"]])
    assert back.new_rows().schema.names == ["_op", "_gone"]
    assert back.old_rows().to_pydict() == {"_op": [7]}


def test_control_entries_come_back_with_their_kinds() -> None:
    entries = [
        Truncated(seq=1, tables=(0, 3), cascade=True),
        RelationChanged(
            seq=2,
            table=3,
            broken=True,
            changes=(ColumnAdded(column="é", type_oid=25, typmod=-1), IdentityChanged(identity="n", columns=())),
        ),
    ]
    assert decode_body(encode_body(entries, []).data, []).controls == tuple(entries)


def test_a_body_that_is_not_what_its_head_says_is_refused() -> None:
    data = encode_body([], [rows([0], None, [pa.array([1])], {})]).data
    with pytest.raises(TerminalError):
        decode_body(data, [])
    with pytest.raises(TerminalError):
        decode_body(data[:-1], [0])
    with pytest.raises(TerminalError):
        decode_body(b"", [])
    batch = pa.record_batch([pa.array([1])], names=["_op"])
    with pytest.raises(TerminalError, match="another form"):
        ChangeRows.of(batch)


def test_masked_values_replace_the_originals_and_nothing_else() -> None:
    made = rows([0, 2], None, [pa.array([1, None])], {0: pa.array([None, 1])})
    masked = made.with_values({0: pa.array([None, 9])}, [pa.array([9, None])])
    assert masked.old[0].to_pylist() == [None, 9]
    assert masked.op is made.op
    with pytest.raises(ValueError, match="other columns"):
        made.with_values({}, [pa.array([9, None])])
