"""Which tables leave their lane at a record, and what of that is past for one that was loaded anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tailrace_shared.changes.controls import (
    ColumnAdded,
    ColumnDropped,
    Control,
    Quarantined,
    RelationChange,
    RelationChanged,
)
from tailrace_writer.lane.leaving import leaving, passed
from tailrace_writer.lane.rows import Mark

FAILED = Quarantined(seq=0, lsn=50, table=1, code="generator.kernel", why="generator key failed on public.t.a")


def altered(*changes: RelationChange, broken: bool = False) -> RelationChanged:
    return RelationChanged(seq=0, lsn=50, table=1, changes=changes, broken=broken)


ADDED = ColumnAdded(column="b", type_oid=25, typmod=-1)


def test_a_kernel_failure_and_a_changed_definition_take_a_table_out() -> None:
    gone = altered(ColumnDropped(column="a"), broken=True)
    assert dict(leaving([FAILED], {1: None}, {})) == {1: FAILED.why}
    assert dict(leaving([gone], {1: None}, {})) == {1: "its definition has changed in the source: column a dropped"}
    assert not dict(leaving([FAILED, gone], {2: None}, {})), "it does not follow anyway"


def test_an_added_column_takes_its_table_out_though_the_planned_ones_are_as_they_were() -> None:
    assert dict(leaving([altered(ADDED)], {1: None}, {})) == {
        1: "its definition has changed in the source: column b added"
    }
    assert not dict(leaving([altered(ColumnDropped(column="never carried"))], {1: None}, {}))


def test_what_was_so_before_a_table_was_loaded_anew_is_past() -> None:
    both: list[Control] = [FAILED, altered(ADDED)]
    assert not dict(leaving(both, {1: None}, {1: Mark(1, since=50)}))
    assert dict(leaving(both, {1: None}, {1: Mark(1, since=49)}))


def test_a_record_of_an_older_plan_behind_the_new_one_takes_its_tables_out() -> None:
    def record(revision: int, last: int) -> Any:
        return SimpleNamespace(revision=revision), SimpleNamespace(last=last)

    marks = {1: Mark(2, since=50)}
    assert dict(passed(*record(1, 60), marks)).keys() == {1}
    assert not dict(passed(*record(1, 50), marks))
    assert not dict(passed(*record(2, 60), marks))
    assert not dict(passed(*record(3, 60), marks))
