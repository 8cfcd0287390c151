"""pgoutput by column: every kind of change, pieces, shapes that change, snapshots that hold changes already."""

from __future__ import annotations

import pyarrow as pa
import pytest

from support.pgoutput import UNCHANGED, Server, relation, rest
from tailrace_reader.capture.cutover import SnapshotFilter
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.frames import Frames
from tailrace_reader.capture.relations import Relation
from tailrace_reader.capture.segment import Segment
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.layout import Layout
from tailrace_shared.changes import (
    DELETE,
    INSERT,
    UPDATE,
    ChangeRows,
    ColumnAdded,
    ColumnDropped,
    ColumnRenamed,
    ColumnRetyped,
    Heartbeat,
    IdentityChanged,
    Marker,
    TableRenamed,
    TableReplaced,
    Truncated,
)
from tailrace_shared.changes.visible import Visible
from tailrace_shared.errors import TerminalError
from tailrace_shared.types import ColumnType, arrow_type

T = relation(id="int4", note="text", at="timestamptz")


def layout(**bases: str) -> Layout:
    types = [ColumnType(name=b, base=b, family="other") for b in bases.values()]
    return Layout(tuple(bases), tuple(t.wire for t in types), tuple(map(arrow_type, types)))


def table(r: Relation = T, number: int = 0, **options: object) -> CapturedTable:
    names = {oid: name for name, oid in __import__("support.pgoutput", fromlist=["OIDS"]).OIDS.items()}
    return CapturedTable(number, layout(**{c.name: names[c.type_oid] for c in r.columns}), r, **options)  # type: ignore[arg-type]


def rows(segment: Segment, number: int = 0) -> ChangeRows:
    return dict(segment.tables)[number]


def values(changes: ChangeRows) -> list[tuple[object, ...]]:
    return list(zip(*(c.to_pylist() for c in changes.columns), strict=True))


def all_of(decoder: Decoder, frames: Frames) -> list[Segment]:
    """Segments until the frames are used up."""
    made = []
    while len(frames.starts):
        made.append(decoder.decode(frames))
        frames = rest(frames, made[-1].frames)
    return made


def test_inserts_updates_and_deletes_of_several_transactions_come_in_order_with_their_transaction() -> None:
    s = Server()
    first = s.begin()
    s.relation(T)
    s.insert(T, 1, "one", "2024-02-29 01:02:03.4+00")
    s.insert(T, 2, None, None)
    s.commit()
    second = s.begin()
    s.update(T, 1, "uno", "2024-02-29 01:02:03.4+00")
    s.delete(T, 2, None, None)
    end = s.commit()
    segment = Decoder([table()]).decode(s.frames())
    changes = rows(segment)
    assert changes.op.tolist() == [INSERT, INSERT, UPDATE, DELETE]
    assert changes.lsn.tolist() == [first, first, second, second]
    assert changes.xid.tolist() == [701, 701, 702, 702]
    assert changes.seq.tolist() == [2, 3, 6, 7]
    assert changes.time.tolist() == [s.time_us] * 4
    assert changes.has_old.tolist() == [False, False, False, True]
    assert changes.old[0].to_pylist() == [None, None, None, 2]
    assert changes.gone is None
    assert [v[:2] for v in values(changes)] == [(1, "one"), (2, None), (1, "uno"), (None, None)]
    assert changes.columns[2].type == pa.timestamp("us", tz="UTC")
    assert (segment.transactions, segment.last, segment.end, segment.final, segment.piece) == (2, second, end, True, 0)
    assert (segment.first_xid, segment.last_xid) == (701, 702)


def test_a_key_that_changes_brings_the_old_one_and_values_that_did_not_come_are_flagged() -> None:
    s = Server()
    s.begin()
    s.relation(T)
    s.update(T, 9, UNCHANGED, None, key=(1, None, None))
    s.update(T, 3, "x", UNCHANGED)
    s.commit()
    changes = rows(Decoder([table()]).decode(s.frames()))
    assert changes.has_old.tolist() == [True, False]
    assert changes.old[0].to_pylist() == [1, None]
    assert changes.gone is not None
    assert changes.gone.tolist() == [[False, True, False], [False, False, True]]


def test_with_identity_full_the_old_row_fills_what_did_not_come() -> None:
    r = relation(identity="f", id="int4", note="text")
    s = Server()
    s.begin()
    s.relation(r)
    s.update(r, 1, UNCHANGED, old=(1, "long"))
    s.delete(r, 1, "long")
    s.commit()
    whole = rows(Decoder([table(r)]).decode(s.frames()))
    assert whole.gone is None
    assert whole.columns[1].to_pylist() == ["long", None]
    assert whole.old[1].to_pylist() == ["long", "long"]
    keyed = rows(Decoder([table(r, key=("id",))]).decode(s.frames()))
    assert {i: c.to_pylist() for i, c in keyed.old.items()} == {0: [1, 1]}


def test_several_tables_share_one_count_and_truncates_stand_between() -> None:
    other = relation(oid=500, name="u", id="int8", v="text")
    s = Server()
    s.begin()
    s.relation(other)
    s.relation(T)
    s.insert(other, 7, "a")
    s.insert(T, 1, "b", None)
    s.truncate(T, other, relation(oid=99, name="foreign", id="int4"), options=3)
    s.insert(other, 8, "c")
    s.commit()
    segment = Decoder([table(), table(other, 3)]).decode(s.frames())
    assert [number for number, _ in segment.tables] == [0, 3]
    assert rows(segment, 3).seq.tolist() == [3, 6]
    (entry,) = segment.controls
    assert isinstance(entry, Truncated)
    assert (entry.seq, entry.tables, entry.cascade, entry.restart_identity, entry.lsn) == (5, (0, 3), True, True, s.lsn)


def test_our_messages_become_entries_and_others_stay_out() -> None:
    s = Server()
    s.begin()
    s.message("tailrace.heartbeat", b"1700")
    s.message("elsewhere", b"a secret")
    s.message("tailrace.marker", "é".encode())
    s.message("tailrace.marker", b"p7")
    s.commit()
    loose = s.lsn + 0x500
    s.lsn = loose
    s.message("tailrace.marker", b"loose", transactional=False, lsn=loose)
    segment = Decoder([table()]).decode(s.frames())
    assert [(type(c), c.token) for c in segment.controls if isinstance(c, (Heartbeat, Marker))] == [
        (Heartbeat, "1700"), (Marker, "p7"), (Marker, "loose"),
    ]  # fmt: skip
    assert (segment.last, segment.end, segment.final) == (loose, loose, True)
    assert segment.controls[-1].xid == 0


def test_a_value_that_does_not_fit_makes_its_column_text_and_only_its_column() -> None:
    r = relation(id="int4", d="date", v="timestamptz")
    s = Server()
    s.begin()
    s.relation(r)
    s.insert(r, 1, "infinity", "2024-01-01 00:00:00+00")
    s.insert(r, 2, "2024-01-01", None)
    s.commit()
    changes = rows(Decoder([table(r)]).decode(s.frames()))
    assert changes.columns[1].to_pylist() == ["infinity", "2024-01-01"]
    assert [c.type for c in changes.columns] == [pa.int32(), pa.string(), pa.timestamp("us", tz="UTC")]


def test_old_and_new_values_of_a_column_travel_alike() -> None:
    """Else nobody could say whether the row that goes is the one that came before."""
    r = relation(identity="f", id="int4", d="date")
    for new, old in (("2024-01-01", "infinity"), ("infinity", "2024-01-01"), ("2024-01-01", None)):
        s = Server()
        s.begin()
        s.relation(r)
        s.update(r, 1, new, old=(1, old))
        s.commit()
        changes = rows(Decoder([table(r)]).decode(s.frames()))
        assert changes.old[1].type == changes.columns[1].type
        assert str(changes.columns[1][0]) == new
        assert str(changes.old[1][0]) == str(old)


def test_text_that_is_no_text_is_an_error_that_names_the_column() -> None:
    s = Server()
    s.begin()
    s.relation(T)
    s.insert(T, 1, b"\xff\xfe", None)
    s.commit()
    with pytest.raises(TerminalError, match="note"):
        Decoder([table()]).decode(s.frames())


def test_a_large_transaction_comes_in_pieces_that_say_so() -> None:
    s = Server()
    lsn = s.begin()
    s.relation(T)
    for i in range(5):
        s.insert(T, i, "x", None)
    end = s.commit()
    decoder, frames = Decoder([table()]), s.frames()
    one = decoder.decode(frames.first(4))
    assert decoder.inside
    two = decoder.decode(rest(frames, 4).first(2))
    three = decoder.decode(rest(frames, 6))
    assert not decoder.inside
    assert [(p.piece, p.final, p.last, p.end, p.transactions, p.changes) for p in (one, two, three)] == [
        (0, False, lsn, 0, 0, 2), (1, False, lsn, 0, 0, 2), (2, True, lsn, end, 1, 1),
    ]  # fmt: skip
    assert rows(three).xid.tolist() == [701]


def test_what_the_lane_holds_already_is_left_out() -> None:
    s = Server()
    tail = s.begin()
    s.relation(T)
    s.insert(T, 1, "old", None)
    s.commit()
    whole = s.frames()
    assert Decoder([table()], tail).decode(whole).empty
    s.begin()
    s.insert(T, 2, "new", None)
    s.commit()
    segment = Decoder([table()], tail).decode(s.frames())
    assert rows(segment).columns[1].to_pylist() == ["new"]
    assert segment.transactions == 1


def changed(now: Relation, before: Relation = T) -> tuple[list[Segment], Decoder]:
    """A transaction before, and one that writes a row before and after the change."""
    s = Server()
    s.begin()
    s.relation(before)
    s.insert(before, 1, "a", None)
    s.commit()
    s.begin()
    s.insert(before, 2, "b", None)
    s.relation(now)
    s.insert(now, *([3, "c", None, "x"][: len(now.columns)]))
    s.commit()
    decoder = Decoder([table(before)])
    return all_of(decoder, s.frames()), decoder


def test_an_added_column_halts_at_its_place_and_rows_go_on_with_the_planned_columns() -> None:
    (whole, piece, after), decoder = changed(relation(id="int4", note="text", at="timestamptz", extra="text"))
    assert whole.halt is None
    assert (whole.final, whole.transactions, piece.final, piece.piece, after.piece) == (True, 1, False, 0, 1)
    assert piece.halt is not None
    assert piece.halt.changes == (ColumnAdded(column="extra", type_oid=25, typmod=-1),)
    assert not piece.halt.broken
    assert piece.controls[-1] == piece.halt
    assert rows(piece).columns[1].to_pylist() == ["b"]
    assert rows(after).names == ("id", "note", "at")
    assert not decoder.left_out


def test_after_a_new_plan_the_added_column_comes_with_the_first_row() -> None:
    now = relation(id="int4", note="text", at="timestamptz", extra="text")
    s = Server()
    s.begin()
    s.relation(now)
    s.insert(now, 3, "c", None, "x")
    s.commit()
    decoder, frames = Decoder([table()]), s.frames()
    piece = decoder.decode(frames)
    assert piece.halt is not None
    decoder.carry(table(now))
    assert rows(decoder.decode(rest(frames, piece.frames))).columns[3].to_pylist() == ["x"]


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (relation(id="int4", at="timestamptz"), ColumnDropped(column="note")),
        (relation(id="int4", memo="text", at="timestamptz"), ColumnRenamed(column="note", to="memo")),
        (relation(id="int8", note="text", at="timestamptz"), ColumnRetyped(column="id", type_oid=20, typmod=-1)),
        (relation(identity="n", key=(), id="int4", note="text", at="timestamptz"), IdentityChanged(identity="n", columns=())),
        (relation(name="renamed", id="int4", note="text", at="timestamptz"), TableRenamed(to="s.renamed")),
        (relation(oid=9_999, id="int4", note="text", at="timestamptz"), TableReplaced(oid=9_999)),
    ],
)  # fmt: skip
def test_what_breaks_a_table_leaves_it_out_from_there(now: Relation, change: object) -> None:
    (_, piece, after), decoder = changed(now)
    assert piece.halt is not None
    assert change in piece.halt.changes
    assert piece.halt.broken
    assert rows(piece).columns[0].to_pylist() == [2]
    assert after.tables == ()
    assert decoder.left_out == {0}


def test_a_column_that_is_not_carried_may_go() -> None:
    wide = relation(id="int4", note="text", at="timestamptz", extra="text")
    s = Server()
    s.begin()
    s.relation(wide)
    s.relation(T)
    s.insert(T, 1, "a", None)
    s.commit()
    narrow = CapturedTable(0, table().layout, wide)
    halted, after = all_of(Decoder([narrow]), s.frames())
    assert halted.halt is not None
    assert not halted.halt.broken
    assert rows(after).columns[1].to_pylist() == ["a"]


def test_the_same_description_again_is_no_change() -> None:
    segments, _ = changed(T)
    assert len(segments) == 1
    assert segments[0].halt is None


def test_transactions_that_the_snapshot_holds_are_left_out_of_that_table_alone() -> None:
    other = relation(oid=500, name="u", id="int8")
    s = Server()
    for xid in (10, 11, 12):
        s.begin(xid)
        s.relation(T)
        s.relation(other)
        s.insert(T, xid, None, None)
        s.insert(other, xid)
        s.truncate(T)
        s.commit()
    filter_ = SnapshotFilter(Visible(11, 12, frozenset({11})), s.lsn + 1)
    segment = Decoder([table(filter=filter_), table(other, 1)]).decode(s.frames())
    assert rows(segment).columns[0].to_pylist() == [11, 12]
    assert rows(segment, 1).columns[0].to_pylist() == [10, 11, 12]
    assert [c.xid for c in segment.controls] == [11, 12]
    assert segment.transactions == 3


def test_while_the_snapshot_is_ahead_a_shape_of_the_past_does_not_matter() -> None:
    past = relation(id="int4", note="text")
    s = Server()
    s.begin(10)
    s.relation(past)
    s.insert(past, 1, "held by the snapshot")
    s.commit()
    s.begin(20)
    s.relation(T)
    s.insert(T, 2, "new", None)
    s.commit()
    filter_ = SnapshotFilter(Visible(15, 15), s.lsn)
    segments = all_of(Decoder([table(filter=filter_)]), s.frames())
    assert all(segment.halt is None for segment in segments)
    assert [rows(x).columns[1].to_pylist() for x in segments if x.tables] == [["new"]]


def test_a_row_in_another_shape_than_planned_halts_before_it() -> None:
    past = relation(id="int4", note="text")
    s = Server()
    s.begin(20)
    s.relation(past)
    s.insert(past, 1, "not in the snapshot")
    s.commit()
    filter_ = SnapshotFilter(Visible(15, 15), s.lsn + 1)
    decoder = Decoder([table(filter=filter_)])
    segments = all_of(decoder, s.frames())
    halted = [segment for segment in segments if segment.halt]
    assert len(halted) == 1
    assert halted[0].halt is not None
    assert halted[0].halt.broken
    assert not any(segment.tables for segment in segments)


def test_two_hundred_columns_keep_their_flags() -> None:
    names = {f"c{i}": "int4" for i in range(200)}
    r = relation(id="int4", **names)
    s = Server()
    s.begin()
    s.relation(r)
    s.update(r, 1, *[UNCHANGED if i % 3 == 0 else i for i in range(200)])
    s.commit()
    changes = rows(Decoder([table(r)]).decode(s.frames()))
    assert changes.gone is not None
    assert changes.gone[0].tolist() == [False, *[i % 3 == 0 for i in range(200)]]


def test_rows_from_before_a_column_that_is_followed_in_place_have_null_in_it_up_to_where_it_came() -> None:
    bare, nick = relation(id="int4", note="text"), relation(id="int4", note="text", nick="text")
    wide = relation(id="int4", note="text", nick="text", age="int4")
    s = Server()
    at = s.begin()
    s.relation(bare)
    s.insert(bare, 1, "one")
    s.relation(nick)
    s.update(nick, 1, "one", "Nick")
    s.relation(wide)
    s.insert(wide, 2, "two", "Nack", 7)
    s.commit()
    s.begin()
    s.insert(wide, 3, "three", None, 8)
    s.commit()
    made = all_of(Decoder([table(wide, grown={"nick": at, "age": at})]), s.frames())
    assert not any(segment.halt or segment.controls for segment in made)
    assert [v for segment in made for _, r in segment.tables for v in values(r)] == [
        (1, "one", None, None), (1, "one", "Nick", None), (2, "two", "Nack", 7), (3, "three", None, 8),
    ]  # fmt: skip


def test_a_column_that_was_followed_in_place_and_is_dropped_later_breaks_its_table() -> None:
    bare, nick = relation(id="int4", note="text"), relation(id="int4", note="text", nick="text")
    s = Server()
    at = s.begin()
    s.relation(nick)
    s.insert(nick, 1, "one", "Nick")
    s.commit()
    s.begin()
    s.relation(bare)
    s.insert(bare, 2, "two")
    s.commit()
    decoder = Decoder([table(nick, grown={"nick": at})])
    halts = [segment.halt for segment in all_of(decoder, s.frames()) if segment.halt]
    assert [(h.broken, h.changes) for h in halts] == [(True, (ColumnDropped(column="nick"),))]
    assert decoder.left_out == {0}


def test_old_rows_of_a_table_without_a_key_have_null_in_a_column_that_came_later() -> None:
    bare, nick = (
        relation(identity="f", id="int4", note="text"),
        relation(identity="f", id="int4", note="text", nick="text"),
    )
    s = Server()
    at = s.begin()
    s.relation(bare)
    s.delete(bare, 1, "one")
    s.relation(nick)
    s.delete(nick, 2, "two", None)
    s.commit()
    made = all_of(Decoder([table(nick, grown={"nick": at})]), s.frames())
    old = [tuple(c.to_pylist()) for segment in made for _, r in segment.tables for c in r.old.values()]
    assert old == [(1,), ("one",), (None,), (2,), ("two",), (None,)]
