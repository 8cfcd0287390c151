"""What verification has to look at, decided from catalogues alone."""

from __future__ import annotations

from tailrace.verification import foreign_keys, unique_keys
from tailrace_shared.catalogue.model import Catalogue, ForeignKey, Index, Table, TableName
from tailrace_shared.plan.model import DataKey, Fingerprints, ForeignKeyCheck, Plan, PlannedTable
from tailrace_shared.verify import queries

A, B, C = (TableName(schema_name="public", name=name) for name in "abc")


def index(name: str, *columns: str, **changes: object) -> Index:
    given = {"name": name, "definition": "", "columns": columns, "unique": True}
    return Index.model_validate(given | changes)


def key(name: str, table: TableName, references: TableName) -> ForeignKey:
    return ForeignKey(
        name=name, table=table, columns=("x",), references=references, referenced_columns=("id",), definition=""
    )


def catalogue(*keys: ForeignKey) -> Catalogue:
    tables = tuple(Table(name=name, oid=1, kind="r", columns=()) for name in (A, B, C))
    return Catalogue(server_version=180000, database="d", system_id="1", tables=tables, foreign_keys=keys)


def plan(*keys: ForeignKeyCheck) -> Plan:
    return Plan(
        release="0",
        run="01J",
        attempt=1,
        job_digest="",
        source_system="1",
        destination_system="2",
        regime="bypass",
        tables=(PlannedTable(number=0, name=A, mode="carry"), PlannedTable(number=1, name=B, mode="duplicate")),
        foreign_keys=keys,
        fingerprints=Fingerprints(mask_secret="", catalogue="", pools=""),
        key=DataKey(id="", wrapped=""),
    )


def test_a_key_that_only_the_source_declares_is_checked_between_carried_tables() -> None:
    found = foreign_keys(plan(), catalogue(key("ab", A, B), key("ac", A, C)), catalogue())
    assert [check.name for check in found] == ["ab"]


def test_a_key_that_both_declare_is_checked_once_whatever_its_name() -> None:
    planned = ForeignKeyCheck(name="other", table=A, columns=("x",), references=B, referenced_columns=("id",))
    found = foreign_keys(plan(planned), catalogue(key("ab", A, B)), catalogue(key("other", A, B)))
    assert [check.name for check in found] == ["other"]


def test_a_unique_key_is_enforced_only_by_a_valid_full_index_of_the_destination() -> None:
    source = [index("s", "a"), index("t", "b", "c"), index("p", "d", predicate="d > 0"), index("n", "e", unique=False)]
    destination = [index("d", "a"), index("broken", "c", "b", valid=False)]
    found = {frozenset(i.columns): enforced for i, enforced in unique_keys(source, destination, "abcde")}
    assert found == {frozenset("a"): True, frozenset("bc"): False}


def test_a_unique_key_over_a_column_that_is_not_carried_is_left_out() -> None:
    assert unique_keys([index("s", "a", "z")], [], ["a"]) == []


def test_names_are_quoted_in_every_query() -> None:
    odd = TableName(schema_name="we", name='ird"; DROP')
    check = ForeignKeyCheck(name="k", table=odd, columns=('a"b',), references=odd, referenced_columns=("c",))
    for query in (
        queries.row_count(odd),
        queries.orphans(check),
        queries.duplicates(odd, ['a"b']),
        queries.sample(odd, 'a"b'),
        queries.strings_found(odd, ['a"b']),
    ):
        assert '"we"."ird""; DROP"' in query
        assert '"a""b"' in query or "count(*) FROM" in query
