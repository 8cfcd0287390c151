"""COPY text to batches: parsing, fallback to text, and identity whatever the pieces."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import FIELD_BYTES, Layout
from tailrace_reader.parse import Parser, uuid_bytes
from tailrace_shared.errors import TerminalError
from tailrace_shared.types import ColumnType, arrow_type

Row = Sequence[str | None]
WIDE = CutRule(rows=10_000, batch_bytes=1 << 30, range_bytes=1 << 40, row_bytes=1 << 30)


def layout(*bases: str) -> Layout:
    """Columns c0, c1, … of these types; ``numeric`` is numeric(12, 2)."""
    digits = {"precision": 12, "scale": 2}
    types = [ColumnType(name=b, base=b, family="other", **(digits if b == "numeric" else {})) for b in bases]
    return Layout(
        tuple(f"c{i}" for i in range(len(bases))), tuple(t.wire for t in types), tuple(map(arrow_type, types))
    )


def field(value: str | None, alone: bool) -> str:
    """One field by the rules of COPY CSV: NULL is nothing; what could be mistaken is quoted."""
    if value is None:
        return ""
    if value == "" or (alone and value == "\\.") or any(c in value for c in ',"\n\r'):
        return '"' + value.replace('"', '""') + '"'
    return value


def csv(rows: Iterable[Row]) -> list[bytes]:
    return [(",".join(field(v, len(row) == 1) for v in row) + "\n").encode() for row in rows]


def assemble(columns: Layout, rule: CutRule, pieces: Iterable[bytes]) -> list[Cut]:
    assembler = RangeAssembler(Parser(columns), rule, "range 0 of public.t")
    cuts = [cut for piece in pieces for cut in assembler.feed(piece)]
    last = assembler.finish()
    return cuts + ([last] if last else [])


def on_the_wire(cuts: list[Cut]) -> list[tuple[object, ...]]:
    return [(c.number, c.last, c.bytes, c.batch.num_rows, c.batch.schema.to_string(), ipc(c.batch)) for c in cuts]


def ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def by_bytes(rows: list[bytes], size: int) -> list[bytes]:
    """Pieces of at least ``size`` bytes, as the reader collects them from the driver's callbacks."""
    pieces, open_ = [], b""
    for row in rows:
        open_ += row
        if len(open_) >= size:
            pieces.append(open_)
            open_ = b""
    return [*pieces, open_] if open_ else pieces


TEXTS = st.one_of(st.none(), st.just(""), st.text(st.sampled_from('ab é,"\n\r\\.😀'), max_size=12))
ODD = {
    "int4": ["0", "-2147483648", "7"],
    "int8": ["9223372036854775807", "-1"],
    "bool": ["t", "f"],
    "uuid": ["00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "date": ["2024-02-29", "infinity", "0044-03-15 BC", "10000-01-01"],
    "timestamp": ["2024-02-29 01:02:03.4", "-infinity", "0044-03-15 00:00:00 BC"],
    "timestamptz": ["2024-02-29 01:02:03.456789+00", "infinity", "294276-01-01 00:00:00+00"],
    "time": ["01:02:03", "24:00:00", "23:59:59.999999"],
    "numeric": ["12.50", "-0.01", "NaN", "9999999999.99"],
    "float8": ["1e+300", "-0", "0.1", "NaN", "Infinity"],
}
MIXED = ("int8", "text", "date", "uuid", "bool", "timestamptz", "numeric", "time", "float8", "timestamp", "varchar")


def values(base: str) -> st.SearchStrategy[str | None]:
    if base not in ODD:
        return TEXTS
    plain = ODD[base][0]
    return st.one_of(st.none(), st.just(plain), st.just(plain), st.just(plain), st.sampled_from(ODD[base]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*(values(base) for base in MIXED)), max_size=40),
    st.integers(1, 17),
    st.integers(60, 2000),
    st.integers(300, 8000),
    st.randoms(use_true_random=False),
)
def test_the_same_rows_in_any_pieces_give_the_same_ids_schemas_and_bytes(
    rows: list[Row], rows_per_batch: int, batch_bytes: int, range_bytes: int, chance: random.Random
) -> None:
    columns, rule = layout(*MIXED), CutRule(rows_per_batch, batch_bytes, range_bytes, 1 << 20)
    text = csv(rows)
    whole = on_the_wire(assemble(columns, rule, [b"".join(text)]))
    cuts = sorted(chance.randrange(len(text) + 1) for _ in range(6))
    at = [0, *cuts, len(text)]
    pieces = [b"".join(text[a:b]) for a, b in itertools.pairwise(at)]
    assert on_the_wire(assemble(columns, rule, text)) == whole
    assert on_the_wire(assemble(columns, rule, pieces)) == whole


def test_one_row_64_kb_and_1_mb_at_a_time_give_the_same_batches() -> None:
    chance = random.Random(7)
    columns = layout(*MIXED)
    odd = [
        tuple(
            chance.choice([None, *ODD[b], *[ODD[b][0]] * 400]) if b in ODD else "x" * chance.randrange(60)
            for b in MIXED
        )
        for _ in range(20_000)
    ]
    text = csv(odd)
    rule = CutRule(rows=3_000, batch_bytes=700_000, range_bytes=3_000_000, row_bytes=1 << 20)
    once = on_the_wire(assemble(columns, rule, by_bytes(text, 1 << 20)))
    assert len(once) > 4
    assert on_the_wire(assemble(columns, rule, by_bytes(text, 64 << 10))) == once
    assert on_the_wire(assemble(columns, rule, text)) == once


def test_every_value_arrives_as_it_was() -> None:
    columns = layout("int4", "numeric", "text", "bool", "uuid", "date", "timestamp", "timestamptz", "time", "float8")
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    rows: list[Row] = [
        ("-7", "12.50", 'a"b\nc\r\n,d', "t", uuid, "0001-01-01", "2024-02-29 01:02:03.4",
 "2024-01-01 00:00:00+00", "23:59:59.999999", "-0"),
        (None,) * 10,
        ("1", "0.00", "", "f", uuid, "9999-12-31", "2024-01-01 00:00:00",
 "1999-12-31 23:59:59.999999+00", "00:00:00", "1e-310"),
    ]  # fmt: skip
    (cut,) = assemble(columns, WIDE, csv(rows))
    assert cut.batch.schema.types == list(columns.types)
    first, second, third = cut.batch.to_pylist()
    utc = dt.UTC
    assert list(first.values())[:6] == [-7, Decimal("12.50"), 'a"b\nc\r\n,d', True, UUID(uuid).bytes, dt.date(1, 1, 1)]
    assert first["c6"] == dt.datetime(2024, 2, 29, 1, 2, 3, 400000)  # noqa: DTZ001
    assert first["c7"] == dt.datetime(2024, 1, 1, tzinfo=utc)
    assert first["c8"] == dt.time(23, 59, 59, 999999)
    assert set(second.values()) == {None}
    assert third["c2"] == ""
    assert third["c9"] == 1e-310


@pytest.mark.parametrize(
    "values", [[None], [None, None], ["", None, ""], [None, "a", None], ["\\.", "", None], ["\n", '"', ","]]
)
def test_a_table_of_one_column_keeps_its_nulls_and_empty_strings(values: list[str | None]) -> None:
    for pieces in ([b"".join(csv((v,) for v in values))], csv((v,) for v in values)):
        (cut,) = assemble(layout("text"), WIDE, pieces)
        assert cut.batch.column(0).to_pylist() == values
        assert cut.last


def test_a_table_of_one_typed_column_keeps_its_nulls() -> None:
    (cut,) = assemble(layout("int4"), WIDE, [b"\n\n5\n\n"])
    assert cut.batch.column(0).to_pylist() == [None, None, 5, None]


def test_a_table_without_columns_keeps_its_rows() -> None:
    rule = CutRule(rows=2, batch_bytes=100, range_bytes=1000, row_bytes=1000)
    cuts = assemble(layout(), rule, [b"\n\n\n", b"\n\n"])
    assert [(c.batch.num_rows, c.last) for c in cuts] == [(2, False), (2, False), (1, True)]
    assert pa.ipc.open_stream(ipc(cuts[0].batch)).read_next_batch().num_rows == 2


def test_a_range_without_rows_has_no_batch() -> None:
    assert assemble(layout("int4"), WIDE, []) == []


def test_only_the_batch_that_holds_an_odd_value_carries_the_column_as_text() -> None:
    rule = CutRule(rows=2, batch_bytes=1 << 20, range_bytes=1 << 30, row_bytes=1 << 20)
    dates = ["2024-01-01", None, "infinity", "2024-01-02", None, "2024-01-03"]
    cuts = assemble(layout("int4", "date"), rule, [b"".join(csv((str(i), d) for i, d in enumerate(dates)))])
    assert [c.batch.schema.field("c1").type for c in cuts] == [pa.date32(), pa.string(), pa.date32()]
    assert cuts[1].batch.column(1).to_pylist() == ["infinity", "2024-01-02"]
    assert {c.batch.schema.field("c0").type for c in cuts} == {pa.int32()}


def test_a_column_that_falls_back_weighs_what_it_weighs_typed() -> None:
    odd = assemble(layout("date"), WIDE, [b"infinity\n"])
    assert odd[0].bytes == assemble(layout("date"), WIDE, [b"2024-01-01\n"])[0].bytes == FIELD_BYTES["date32"]


def test_an_encoded_batch_is_no_larger_than_its_weight_and_a_schema() -> None:
    chance = random.Random(1)
    rows = [
        tuple(chance.choice(ODD[b][:1]) if b in ODD else chance.randbytes(9).hex() for b in MIXED) for _ in range(2000)
    ]
    (cut,) = assemble(layout(*MIXED), WIDE, [b"".join(csv(rows))])
    assert len(ipc(cut.batch)) < cut.bytes + 4096


def test_a_row_above_the_limit_fails_by_table_row_and_setting_without_its_value() -> None:
    rule = CutRule(rows=10, batch_bytes=50, range_bytes=1 << 20, row_bytes=100)
    with pytest.raises(TerminalError) as error:
        assemble(layout("text"), rule, csv([("a",), ("secret" * 40,)]))
    assert error.value.code == "reader.row-too-large"
    assert "row 2 of range 0 of public.t" in str(error.value)
    assert "limits.message_bytes" in error.value.remedy
    assert "secret" not in str(error.value)


def test_bytes_that_are_no_utf8_fail_by_column_without_their_value() -> None:
    with pytest.raises(TerminalError) as error:
        assemble(layout("int4", "text"), WIDE, [b"1,caf\xe9\n"])
    assert error.value.code == "source.encoding"
    assert "'c1'" in str(error.value)
    assert "caf" not in str(error.value)
    assert error.value.__context__ is None, "the parser's complaint quotes the value"


def test_uuids_keep_their_nulls() -> None:
    texts = [None, "00112233-4455-6677-8899-aabbccddeeff", None]
    assert uuid_bytes(pa.array(texts, pa.string())).to_pylist() == [None, UUID(texts[1]).bytes, None]
    assert uuid_bytes(pa.array(texts, pa.string()).slice(1, 1)).to_pylist() == [UUID(texts[1]).bytes]
    assert uuid_bytes(pa.array([None], pa.string())).to_pylist() == [None]
    assert uuid_bytes(pa.array([], pa.string())).to_pylist() == []


@pytest.mark.parametrize("first", ["\ufeff", "\ufeffwords", "\ufeff\ufeff", '\ufeff"'])
def test_a_byte_order_mark_at_the_start_of_a_piece_belongs_to_its_value(first: str) -> None:
    for columns, rows in (
        (layout("text"), [(first,), (first,)]),
        (layout("text", "int4"), [(first, "1"), (first, None)]),
    ):
        (cut,) = assemble(columns, WIDE, csv(rows))
        assert cut.batch.column(0).to_pylist() == [first, first]
