"""A record batch as bytes and back."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_shared.dataplane.ipc import decode, encode, encode_view, schema_fingerprint
from tailrace_shared.errors import TerminalError
from tailrace_shared.types import ColumnType, arrow_type

COLUMNS = {
    "bool": [True, None, False],
    "int8": [2**63 - 1, None, -1],
    "float8": [0.5, None, -0.0],
    "date": [datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)],
    "timestamp": [datetime.datetime(2024, 1, 1, 12), None, datetime.datetime(1, 1, 1)],  # noqa: DTZ001 - has no zone
    "timestamptz": [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), None, None],
    "time": [datetime.time(23, 59, 59, 999999), None, datetime.time(0)],
    "uuid": [bytes(range(16)), None, bytes(16)],
    "text": ["ä€𝄞", None, ""],
}


def batch() -> pa.RecordBatch:
    arrays = {
        name: pa.array(values, arrow_type(ColumnType(name=name, base=name, family="other")))
        for name, values in COLUMNS.items()
    }
    arrays["numeric"] = pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-0.01")], pa.decimal128(38, 2))
    return pa.RecordBatch.from_pydict(arrays)


def test_every_wire_type_survives() -> None:
    there = batch()
    back = decode(encode(there))
    assert back.equals(there, check_metadata=True)
    assert back.schema == there.schema


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), min_size=1, max_size=50), st.data())
def test_a_batch_gives_the_same_bytes_however_it_was_pieced_together(
    texts: list[str | None], draw: st.DataObject
) -> None:
    whole = pa.RecordBatch.from_pydict(
        {"n": pa.array(range(len(texts)), pa.int64()), "t": pa.array(texts, pa.string())}
    )
    first = draw.draw(st.integers(0, len(texts) - 1))
    part = whole.slice(first, draw.draw(st.integers(1, len(texts))))
    joined = []
    for _ in range(2):
        cuts = sorted(draw.draw(st.lists(st.integers(0, len(part)), max_size=4)))
        pieces = [part.slice(low, high - low) for low, high in zip([0, *cuts], [*cuts, len(part)], strict=True)]
        joined.append(encode(pa.concat_batches(pieces)))
    assert joined[0] == joined[1]
    assert decode(joined[0]).equals(part)
    assert decode(encode(part)).equals(part)


def test_an_empty_batch_and_one_without_columns_survive() -> None:
    for empty in (batch().slice(0, 0), pa.RecordBatch.from_pydict({})):
        assert decode(encode(empty)).equals(empty)


def test_a_view_is_the_same_bytes_without_a_copy() -> None:
    view = encode_view(batch())
    assert view.format == "B"
    assert bytes(view) == encode(batch())
    assert decode(view).equals(batch())
    assert decode(bytearray(view)).equals(batch())


def test_what_is_not_exactly_one_batch_is_refused_without_quoting_it() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch().schema) as writer:
        writer.write_batch(batch())
        writer.write_batch(batch())
    none = pa.BufferOutputStream()
    pa.ipc.new_stream(none, batch().schema).close()
    sound = encode(batch())
    for wrong in (
        b"", b"canary-4711", sink.getvalue().to_pybytes(), none.getvalue().to_pybytes(), sound[:50], sound[:-60],
    ):  # fmt: skip
        with pytest.raises(TerminalError) as caught:
            decode(wrong)
        assert caught.value.code == "batch.malformed"
        assert "canary" not in str(caught.value)


def test_the_fingerprint_follows_names_types_order_and_nullability() -> None:
    fields = [pa.field("a", pa.int32()), pa.field("b", pa.string())]
    known = schema_fingerprint(pa.schema(fields))
    assert known == "b810ccb4e30b66e267d958b165525586"
    others = [
        pa.schema(fields[::-1]),
        pa.schema([fields[0]]),
        pa.schema([pa.field("a", pa.int64()), fields[1]]),
        pa.schema([pa.field("a", pa.int32(), nullable=False), fields[1]]),
        pa.schema([pa.field("c", pa.int32()), fields[1]]),
    ]
    assert len({known, *(schema_fingerprint(schema) for schema in others)}) == 6
    assert schema_fingerprint(pa.schema(fields, metadata={b"any": b"thing"})) == known
