"""A value is the same whether COPY or the change stream brought it: same type, same bytes, same fallback to text."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from support.pgoutput import Server, relation
from tailrace_reader.assemble import RangeAssembler
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.relations import Relation
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_shared.types import ColumnType, arrow_type

BASES = ("int8", "text", "date", "uuid", "bool", "timestamptz", "numeric", "time", "float8", "timestamp", "varchar")
FITTING = {
    "int8": ["0", "-9223372036854775808", "9223372036854775807"],
    "date": ["2024-02-29", "0001-01-01"],
    "uuid": ["00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "bool": ["t", "f"],
    "timestamptz": ["2024-02-29 01:02:03.4+00", "1999-12-31 23:59:59.999999+00"],
    "numeric": ["12.50", "-0.01", "9999999999.99"],
    "time": ["01:02:03", "23:59:59.999999"],
    "float8": ["0.1", "-0", "1e+300", "5e-324"],
    "timestamp": ["2024-02-29 01:02:03.4", "0001-01-01 00:00:00"],
}
ODD = {
    "date": ["infinity", "0044-03-15 BC", "10000-01-01"],
    "timestamptz": ["infinity", "294276-01-01 00:00:00+00"],
    "numeric": ["NaN", "Infinity"],
    "time": ["24:00:00"],
    "float8": ["NaN", "Infinity"],
    "timestamp": ["-infinity", "0044-03-15 00:00:00 BC"],
}
TEXTS = st.one_of(
    st.just(""),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.just("\\."),
    st.just("x" * 600),
)


def layout() -> Layout:
    digits = {"precision": 12, "scale": 2}
    types = [ColumnType(name=b, base=b, family="other", **(digits if b == "numeric" else {})) for b in BASES]
    return Layout(
        tuple(f"c{i}" for i in range(len(BASES))), tuple(t.wire for t in types), tuple(map(arrow_type, types))
    )


def described() -> Relation:
    return relation(key=("c0",), **{f"c{i}": base for i, base in enumerate(BASES)})


def value(base: str) -> st.SearchStrategy[str | None]:
    if base not in FITTING:
        return st.one_of(st.none(), TEXTS)
    usual = st.sampled_from(FITTING[base])
    return st.one_of(st.none(), usual, usual, usual, st.sampled_from(ODD.get(base, FITTING[base])))


def csv(row: tuple[str | None, ...]) -> bytes:
    def field(text: str | None) -> str:
        if text is None:
            return ""
        plain = text and not any(c in text for c in ',"\n\r') and text != "\\."
        return text if plain else '"' + text.replace('"', '""') + '"'

    return (",".join(map(field, row)) + "\n").encode()


def by_copy(rows: list[tuple[str | None, ...]]) -> pa.RecordBatch:
    assembler = RangeAssembler(Parser(layout()), CutRule(10_000, 1 << 30, 1 << 40, 1 << 30), "range 0 of s.t")
    assert not assembler.feed(b"".join(map(csv, rows)))
    last = assembler.finish()
    assert last is not None
    return last.batch


def by_stream(rows: list[tuple[str | None, ...]]) -> pa.RecordBatch:
    r, s = described(), Server()
    s.begin()
    s.relation(r)
    for row in rows:
        s.insert(r, *row)
    s.commit()
    ((_, changes),) = Decoder([CapturedTable(0, layout(), r)]).decode(s.frames()).tables
    return changes.new_rows()


def bytes_of(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


@given(st.lists(st.tuples(*(value(base) for base in BASES)), min_size=1, max_size=20))
@settings(max_examples=80, deadline=None)
def test_a_captured_batch_is_the_batch_that_copy_gives(rows: list[tuple[str | None, ...]]) -> None:
    copied, streamed = by_copy(rows), by_stream(rows)
    assert streamed.schema == copied.schema
    for name, one, other in zip(copied.schema.names, streamed.columns, copied.columns, strict=True):
        assert str(one.to_pylist()) == str(other.to_pylist()), name
        valid = one.is_valid()
        assert valid.equals(other.is_valid()), name
        if pa.types.is_floating(one.type):
            continue
        assert one.equals(other), name


def test_a_long_value_among_short_ones_moves_nothing() -> None:
    usual = tuple(FITTING.get(base, ["short"])[0] for base in BASES)
    rows = [usual, (*usual[:10], "long" * 5000), usual, (*usual[:10], ""), (*usual[:10], None)]
    assert by_stream(rows).equals(by_copy(rows))
