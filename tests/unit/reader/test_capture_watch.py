"""What is found in the source's catalogue that the stream does not tell, and what is explained by it."""

from __future__ import annotations

import pytest

from support.writing import ID_NAME, plan, table
from tailrace_reader.capture.errors import PublicationMissing
from tailrace_reader.capture.publication import Places, Publication
from tailrace_reader.capture.relations import Relation, RelationColumn
from tailrace_reader.capture.watch import Look, Watch
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.model import CapturedColumn, CapturedRelation, ContinuousPlan, Leaf, Plan

NAME = TableName(schema_name="public", name="event")
COLUMNS = (("id", 23, -1, True), ("name", 25, -1, False))
LEAVES = {11: 101, 12: 102}
PUBLICATION = Publication("p", False, True, True, frozenset({NAME}), (), 5)


def followed() -> Plan:
    relation = CapturedRelation(
        oid=10,
        identity="d",
        columns=tuple(CapturedColumn(name=n, type_oid=t, typmod=m, key=k) for n, t, m, k in COLUMNS),
    )
    leaves = tuple(Leaf(name=NAME, oid=oid, filenode=file) for oid, file in LEAVES.items())
    event = table(0, "event", ID_NAME, relation=relation).model_copy(update={"leaves": leaves})
    return plan(event, continuous=ContinuousPlan(slot="s", publication="p", managed=True, apply="bare"))


def look(heaps: dict[int, int], **given: object) -> Look:
    relation = Relation(10, "public", "event", "d", tuple(RelationColumn(*c) for c in COLUMNS))
    made = {"filled": frozenset(), "names": (NAME,), "publication": PUBLICATION} | given
    return Look({NAME: relation}, {NAME: frozenset(heaps.items())}, **made)  # type: ignore[arg-type]


def test_a_table_that_is_as_planned_is_no_finding() -> None:
    assert Watch().changed(followed(), look(LEAVES), 0) == {}


BOTH = {11: 901, 12: 902}
AT_ONCE = {11: 77, 12: 77}


def seasoned() -> Watch:
    watch = Watch()
    assert watch.changed(followed(), look(LEAVES), 0) == {}
    return watch


def test_new_files_wait_for_the_stream_to_explain_them() -> None:
    watch, now = seasoned(), look(BOTH, lsn=500, changed_by=AT_ONCE)
    assert watch.changed(followed(), now, 400) == {}, "the lane has not come so far: a TRUNCATE may be in what comes"
    watch.truncated.add(0)
    assert watch.changed(followed(), now, 600) == {}
    later = look(BOTH, lsn=900, changed_by=AT_ONCE | {12: 80})  # its entry has changed for another reason since
    assert watch.changed(followed(), later, 950) == {}


def test_new_files_that_no_truncate_of_the_stream_explains_are_a_finding() -> None:
    watch, now = seasoned(), look(BOTH, lsn=500, changed_by=AT_ONCE)
    assert watch.changed(followed(), now, 400) == {}
    assert "truncated or rewritten" in watch.changed(followed(), now, 500)[0]


def test_one_new_file_is_a_finding_though_the_whole_table_was_emptied_too() -> None:
    watch = seasoned()
    watch.truncated.add(0)
    assert watch.changed(followed(), look(BOTH, lsn=500, changed_by=AT_ONCE), 600) == {}
    assert (
        "truncated" in watch.changed(followed(), look(BOTH | {12: 903}, lsn=700, changed_by={11: 77, 12: 79}), 800)[0]
    )


def test_a_capture_that_takes_over_takes_files_of_one_transaction_for_what_the_former_has_told() -> None:
    assert Watch().changed(followed(), look(BOTH, lsn=500, changed_by=AT_ONCE), 600) == {}
    one = Watch().changed(followed(), look(LEAVES | {12: 999}, lsn=500, changed_by=AT_ONCE), 600)
    assert "truncated" in one[0]


def test_partitions_that_go_or_come_with_rows_are_findings_and_empty_ones_are_not() -> None:
    assert "detached" in Watch().changed(followed(), look({11: 101}), 0)[0]
    assert "attached" in Watch().changed(followed(), look(LEAVES | {13: 103}, filled=frozenset({13})), 0)[0]
    watch = Watch()
    assert watch.changed(followed(), look(LEAVES | {13: 103}), 0) == {}
    assert watch.changed(followed(), look(LEAVES | {13: 103}, filled=frozenset({13})), 0) == {}, "seen empty before"


def test_a_publication_that_is_gone_or_another_or_lacks_something_is_found() -> None:
    watch = Watch()
    assert watch.changed(followed(), look(LEAVES), 0) == {}
    with pytest.raises(PublicationMissing):
        watch.changed(followed(), look(LEAVES, publication=None), 0)
    again = Publication("p", False, True, True, frozenset({NAME}), (), 6)
    with pytest.raises(PublicationMissing):
        watch.changed(followed(), look(LEAVES, publication=again), 0)
    without = Publication("p", False, True, True, frozenset(), (), 5)
    assert "not in publication p" in watch.changed(followed(), look(LEAVES, publication=without), 0)[0]
    partly = Publication("p", False, False, True, frozenset({NAME}), (), 5)
    assert "does not publish all" in watch.changed(followed(), look(LEAVES, publication=partly), 0)[0]


def test_a_column_that_was_dropped_and_added_again_is_a_finding_though_the_stream_cannot_tell_it() -> None:
    event = followed().table(0)
    assert event.relation is not None
    columns = tuple(c.model_copy(update={"number": n}) for n, c in enumerate(event.relation.columns, 1))
    relation = event.relation.model_copy(update={"columns": columns, "last": 2})
    noted = followed().model_copy(update={"tables": (event.model_copy(update={"relation": relation}),)})
    same, other = Places({"id": 1, "name": 2}, 2), Places({"id": 1, "name": 3}, 3)
    assert Watch().changed(noted, look(LEAVES, places={NAME: same}), 0) == {}
    assert "name was dropped and added again" in Watch().changed(noted, look(LEAVES, places={NAME: other}), 0)[0]
    assert Watch().changed(followed(), look(LEAVES, places={NAME: other}), 0) == {}, "a plan of before this was noted"
