"""Scope, foreign keys to tables outside, order, DDL, ranges and privileges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.catalogues import (
    ALL,
    catalogue,
    errors,
    foreign_key,
    job,
    name,
    plain_index,
    plan,
    planned,
    table,
    the_error,
    unique,
    warnings,
)
from tailrace_shared.catalogue.model import Catalogue, Partition, Sequence, Table, Trigger
from tailrace_shared.plan.copy import copy_format
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.order import components
from tailrace_shared.plan.ranges import ranges_of
from tailrace_shared.plan.scope import matches, rule_for
from tailrace_shared.plan.view_facts import ViewFacts

PARENT = table("parent", "id int4!", primary=["id"])
CHILD = table("child", "id int4!", "parent int4", primary=["id"], indexes=[plain_index("child_parent", "parent")])
KEY = foreign_key("child", ["parent"], "parent")
FAMILY = catalogue(PARENT, CHILD, keys=[KEY])
RESPECT = 'policy: pass\ndestination: {url: "${D}", constraints: respect}\n'


def with_rows(found: Catalogue, *tables: str) -> Catalogue:
    changed = [t.model_copy(update={"has_rows": t.name.name in tables}) for t in found.tables]
    return found.model_copy(update={"tables": tuple(changed)})


# --- scope ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("public.log_*", True), ("*", True), ("public.*_2025", True), ("public.log", False), ("public.log.*", False)],
)
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(pattern: str, found: bool) -> None:
    assert matches(pattern, name("log_2025")) == found


def test_an_exact_name_wins_over_patterns_and_the_first_pattern_over_later_ones() -> None:
    found = job("tables: {'public.*': {mode: duplicate}, public.log_a: {mode: carry}, 'public.log*': {mode: exclude}}")
    assert rule_for(found, name("log_a"))[0] == "public.log_a"
    assert rule_for(found, name("log_b"))[0] == "public.*"
    assert rule_for(found, name("other.log_b")) == ("", None)


def test_names_that_the_source_does_not_have_are_refused_with_the_closest() -> None:
    result = plan("policy: pass\ntables: {public.chld: {mode: exclude}, public.parent: {columns: {idd: key}}}", FAMILY)
    assert errors(result) == [("plan.unknown-table", "public.chld"), ("plan.unknown-column", "public.parent.idd")]
    assert all("did you mean" in p.remedy for p in result.problems)


def test_views_are_carried_where_their_exact_name_says_so() -> None:
    view = table("v", "a int4", "b text", kind="v", pages=0, bytes=0, filenode=0)
    there = catalogue(PARENT, table("v", "a int4", "b text"))
    assert len(planned("policy: pass", catalogue(PARENT, view)).tables) == 1
    assert len(planned("policy: pass\ntables: {'public.*': {mode: carry}}", catalogue(PARENT, view), there).tables) == 1
    named = planned("policy: pass\ntables: {public.v: {mode: carry}}", catalogue(PARENT, view), there).tables[1]
    assert (named.view, [(r.low, r.high) for r in named.ranges]) == (True, [(0, None)])


def test_a_view_in_the_destination_takes_no_rows() -> None:
    view = table("v", "a int4", kind="v")
    problem = the_error(plan("policy: pass\ntables: {public.v: {mode: carry}}", catalogue(PARENT, view)))
    assert (problem.code, "the view, not a table" in problem.message) == ("plan.not-a-table", True)


def test_a_declared_key_of_a_view_is_as_good_as_a_unique_index() -> None:
    view = table("v", "a int4", "b text", kind="v", pages=0, bytes=0, filenode=0)
    there = catalogue(table("v", "a int4!", "b text", primary=["a"]))
    rules = "policy: pass\ntables: {public.v: {key: [a], columns: {a: key}}}"
    counted = SourceFacts(views={"public.v": ViewFacts(shape="s", repeated=0)})
    assert [p.verdict for p in planned(rules, catalogue(view), there, counted).proofs] == ["proved", "proved"]
    twice = SourceFacts(views={"public.v": ViewFacts(shape="s", repeated=3)})
    assert errors(plan(rules, catalogue(view), there, twice)) == [("plan.view-key", "public.v")]
    assert errors(plan(rules, catalogue(view), there)) == [("plan.view-key", "public.v")], "an estimate would not do"


def test_a_job_that_carries_nothing_is_refused() -> None:
    assert the_error(plan("default_mode: exclude", FAMILY)).code == "plan.nothing"


def test_the_same_database_on_both_sides_is_refused() -> None:
    result = plan("policy: pass", FAMILY.model_copy(update={"system_id": "2"}))
    assert the_error(result).code == "plan.same-database"


def test_whole_tables_that_cannot_be_loaded_are_refused() -> None:
    source = catalogue(PARENT, CHILD, table("gone", "a int4"), keys=[KEY])
    result = plan("policy: pass", source, with_rows(FAMILY, "parent"))
    assert {c for c, _ in errors(result)} == {"plan.missing-table", "plan.not-empty"}
    truncating = 'policy: pass\ndestination: {url: "${D}", mode: truncate}\n'
    assert planned(truncating, FAMILY, with_rows(FAMILY, "parent", "child")).truncate_first


# --- foreign keys to tables that are not carried ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "rule", "rows", "code"),
    [
        ("exclude", "duplicate", ["parent"], None),
        ("exclude", "duplicate", [], "plan.outside-parent"),
        ("exclude", "key", ["parent"], "plan.outside-parent"),
        ("exclude", "null", [], None),
        ("truncate", "duplicate", [], "plan.outside-parent"),
        ("truncate", "null", [], None),
    ],
)
def test_a_child_of_a_table_without_rows_needs_its_key_null(
    mode: str, rule: str, rows: list[str], code: str | None
) -> None:
    text = f"policy: pass\ntables: {{public.parent: {{mode: {mode}}}, public.child: {{columns: {{parent: {rule}}}}}}}"
    result = plan(text, FAMILY, with_rows(FAMILY, *rows))
    assert [c for c, _ in errors(result)] == ([code] if code else [])


def test_an_excluded_child_with_rows_is_refused_and_an_empty_one_loses_its_key_for_the_load() -> None:
    text = "policy: pass\ntables: {public.child: {mode: exclude}}"
    assert the_error(plan(text, FAMILY, with_rows(FAMILY, "child"))).code == "plan.outside-rows"
    found = planned(text, FAMILY, with_rows(FAMILY))
    assert [(s.kind, s.name) for s in found.ddl] == [("foreign-key", "child_parent_fkey")]


def test_under_respect_even_an_empty_outside_child_stands_in_the_way_of_truncate() -> None:
    result = plan(RESPECT + "tables: {public.child: {mode: exclude}}", FAMILY, with_rows(FAMILY))
    assert the_error(result).code == "plan.outside-reference"


# --- order ------------------------------------------------------------------------------------------------------------


def test_under_respect_parents_come_first_and_nothing_is_dropped() -> None:
    found = planned(RESPECT, FAMILY)
    numbers = {t.name.name: t.number for t in found.tables}
    assert next(t for t in found.tables if t.name.name == "child").after == (numbers["parent"],)
    assert found.ddl == ()
    assert not found.replica_role


def test_a_cycle_under_respect_needs_the_replica_role_however_deferrable() -> None:
    keys = [foreign_key("child", ["parent"], "child", deferrable=True, initially_deferred=True)]
    loop = catalogue(CHILD, keys=keys)
    error = the_error(plan(RESPECT, loop))
    assert error.code == "plan.cycle"
    assert "SET ON PARAMETER session_replication_role" in error.remedy
    assert planned(RESPECT, loop.model_copy(update={"can_replicate": True})).replica_role


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9), max_size=4), max_size=10))
def test_components_are_exactly_the_nodes_that_reach_each_other(edges: dict[int, set[int]]) -> None:
    graph = {n: edges.get(n, set()) for n in set(edges) | {m for out in edges.values() for m in out}}

    def reach(start: int) -> set[int]:
        seen, todo = {start}, [start]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    found = components(graph)
    assert {(a, b) for a in graph for b in graph if found[a] == found[b]} == {
        (a, b) for a in graph for b in graph if b in reach(a) and a in reach(b)
    }


# --- what is dropped and comes back -----------------------------------------------------------------------------------


def test_bypass_drops_foreign_keys_and_secondary_indexes_and_triggers_and_keeps_the_rest() -> None:
    child = CHILD.model_copy(
        update={
            "indexes": (
                *CHILD.indexes,
                unique("u", "parent"),
                plain_index("broken", "id", valid=False),
                plain_index("no_overlap", "id", constraint="no_overlap", exclusion=True),
            ),
            "triggers": tuple(Trigger(name=f"t{state}", enabled=state) for state in "ODRA"),  # type: ignore[misc]
        }
    )
    found = planned("policy: pass", catalogue(PARENT, child, keys=[KEY]))
    assert [(s.number, s.kind, s.name) for s in found.ddl] == [
        (0, "index", "child_parent"), (1, "foreign-key", "child_parent_fkey"), (2, "trigger", "tO"), (3, "trigger", "tA"),
    ]  # fmt: skip
    index, key, origin, always = found.ddl
    assert index.drop == 'DROP INDEX IF EXISTS "public"."child_parent"'
    assert index.rebuild == ("CREATE INDEX IF NOT EXISTS child_parent ON t USING btree (parent)",)
    dropped = 'ALTER TABLE "public"."child" DROP CONSTRAINT IF EXISTS "child_parent_fkey"'
    assert key.rebuild == (
        f'{dropped}, ADD CONSTRAINT "child_parent_fkey" {KEY.definition} NOT VALID',
        'ALTER TABLE "public"."child" VALIDATE CONSTRAINT "child_parent_fkey"',
    )
    assert origin.rebuild == ('ALTER TABLE "public"."child" ENABLE TRIGGER "tO"',)
    assert always.rebuild == ('ALTER TABLE "public"."child" ENABLE ALWAYS TRIGGER "tA"',)


@pytest.mark.parametrize(("version", "statements"), [(170000, 1), (180000, 2)])
def test_a_key_of_a_partitioned_table_is_added_not_valid_from_18_on(version: int, statements: int) -> None:
    leaf = Partition(name=name("child_1"), oid=7, filenode=7, pages=1, rows=1, bytes=8192)
    child = CHILD.model_copy(update={"kind": "p", "partitions": (leaf,)})
    destination = catalogue(PARENT, child, keys=[KEY], server_version=version)
    step = next(s for s in planned("policy: pass", destination).ddl if s.kind == "foreign-key")
    assert len(step.rebuild) == statements


@pytest.mark.parametrize(("version", "statements"), [(170000, 1), (180000, 2)])
def test_a_key_to_a_partitioned_table_is_validated_apart_from_18_on(version: int, statements: int) -> None:
    """Before, VALIDATE leaves the key's parts, one per partition, marked NOT VALID."""
    leaf = Partition(name=name("parent_1"), oid=7, filenode=7, pages=1, rows=1, bytes=8192)
    parent = PARENT.model_copy(update={"kind": "p", "partitions": (leaf,)})
    destination = catalogue(parent, CHILD, keys=[KEY], server_version=version)
    step = next(s for s in planned("policy: pass", destination).ddl if s.kind == "foreign-key")
    assert len(step.rebuild) == statements


def test_a_key_that_was_not_valid_or_not_enforced_comes_back_so() -> None:
    key = foreign_key("child", ["parent"], "parent", validated=False)
    step = planned("policy: pass", catalogue(PARENT, CHILD, keys=[key])).ddl[1]
    assert len(step.rebuild) == 1


def test_under_respect_only_triggers_that_would_fire_are_disabled() -> None:
    triggers = tuple(Trigger(name=f"t{state}", enabled=state) for state in "ODRA")  # type: ignore[misc]
    found = catalogue(PARENT.model_copy(update={"triggers": triggers}))
    assert [s.name for s in planned(RESPECT, found).ddl] == ["tO", "tA"]
    assert [s.name for s in planned(RESPECT, found.model_copy(update={"can_replicate": True})).ddl] == ["tR", "tA"]


def test_sequences_of_carried_columns_are_set_afterwards() -> None:
    own = Sequence(schema_name="public", name="child_id_seq", owner=name("child"), owner_column="id")
    other = Sequence(schema_name="public", name="parent_id_seq", owner=name("parent"), owner_column="id")
    text = "policy: pass\ntables: {public.parent: {mode: exclude}, public.child: {columns: {parent: null}}}"
    sequenced = FAMILY.model_copy(update={"sequences": (own, other)})
    error = the_error(plan(text, sequenced))
    assert error.remedy == 'GRANT SELECT, UPDATE ON SEQUENCE "public"."child_id_seq" TO "mover";'
    granted = sequenced.model_copy(
        update={"privileges": FAMILY.privileges | {"public.child_id_seq": ("SELECT", "UPDATE")}}
    )
    assert [(s.name, s.column) for s in planned(text, granted).sequences] == [("child_id_seq", "id")]


# --- ranges, copy format, privileges ----------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.integers(1, 64), st.integers(1 << 13, 1 << 24))
def test_ranges_cover_every_block_once_and_the_last_is_open(pages: int, page_kilobytes: int, range_bytes: int) -> None:
    heap = table("t", "a int4", pages=pages, bytes=pages * page_kilobytes * 1024)
    found = ranges_of(heap, range_bytes)
    assert [r.number for r in found] == list(range(len(found)))
    assert [r.low for r in found] == [0, *[r.high for r in found[:-1]]]
    assert found[-1].high is None
    assert all(r.estimated_bytes <= max(range_bytes, page_kilobytes * 1024) for r in found)


@pytest.mark.parametrize(
    ("ours", "refused"),
    [((), False), ((Partition(name=name("t1"), oid=2, filenode=2, pages=1, rows=1, bytes=8192),), True)],
)
def test_a_destination_without_partitions_is_refused_where_the_source_has_some(
    ours: tuple[Partition, ...], refused: bool
) -> None:
    parts = table("t", "a int4", kind="p", partitions=ours)
    found = plan("policy: pass", catalogue(parts), catalogue(table("t", "a int4", kind="p")))
    assert ("plan.no-partition" in [code for code, _ in errors(found)]) == refused


def test_every_partition_has_ranges_of_its_own() -> None:
    leaves = tuple(
        Partition(name=name(f"t{n}"), oid=n, filenode=n, pages=p, rows=1, bytes=p * 8192)
        for n, p in ((1, 0), (2, 10), (3, 4))
    )
    found = ranges_of(table("t", "a int4", kind="p", partitions=leaves), 4 * 8192)
    assert [(r.leaf, r.low, r.high) for r in found] == [(0, 0, None), (1, 0, 4), (1, 4, 8), (1, 8, None), (2, 0, None)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("int4", "binary"), ("numeric(10,2)", "binary"), ("numeric", "csv"), ("numeric(50,2)", "csv"), ("text", "binary"),
        ("jsonb", "binary"), ("enum(a)", "binary"), ("timestamptz", "binary"), ("timetz", "csv"), ("bytea", "csv"),
        ("interval", "csv"), ("_text", "csv"), ("char", "csv"), ("uuid", "binary"), ("inet", "csv"),
    ],
)  # fmt: skip
def test_a_table_goes_by_binary_copy_where_every_column_can(kind: str, expected: str) -> None:
    found = planned("policy: pass", catalogue(table("t", "id int8", f"v {kind}")))
    assert found.tables[0].copy_format == copy_format(found.tables[0].columns) == expected


def test_columns_of_different_types_on_both_sides_go_as_text() -> None:
    found = planned("policy: pass", catalogue(table("t", "a int4")), catalogue(table("t", "a int8")))
    assert found.tables[0].copy_format == "csv"


def test_every_missing_privilege_comes_with_the_statement_that_grants_it() -> None:
    source = FAMILY.model_copy(update={"privileges": FAMILY.privileges | {"public.child": (), "public": ()}})
    less = tuple(p for p in ALL if p not in ("TRUNCATE", "OWNER", "REFERENCES"))
    destination = FAMILY.model_copy(
        update={
            "privileges": FAMILY.privileges | {"public.parent": less, "public.child": less, "public": ("USAGE",)},
            "can_create": False,
        }
    )
    remedies = {p.remedy for p in plan("policy: pass", source, destination).problems}
    assert remedies == {
        'GRANT USAGE ON SCHEMA "public" TO "mover";',
        'GRANT SELECT ON "public"."child" TO "mover";',
        'GRANT CREATE ON DATABASE "db" TO "mover";',
        'GRANT TRUNCATE ON "public"."parent" TO "mover";',
        'GRANT TRUNCATE ON "public"."child" TO "mover";',
        'GRANT REFERENCES ON "public"."parent" TO "mover";',
        'GRANT "owner" TO "mover"; or use constraints: respect.',
        'GRANT CREATE ON SCHEMA "public" TO "mover"; or use constraints: respect.',
    }


def test_row_security_on_either_side_is_refused() -> None:
    hidden: Table = PARENT.model_copy(update={"row_security": True})
    assert [c for c, _ in errors(plan("policy: pass", catalogue(hidden)))] == ["plan.row-security"] * 2


def test_an_unlogged_destination_is_warned_of() -> None:
    found = catalogue(PARENT.model_copy(update={"persistence": "u"}))
    assert warnings(plan("policy: pass", found)) == [("plan.unlogged", "public.parent")]


def test_a_sequence_whose_numbers_a_default_makes_text_of_is_told_and_left_alone() -> None:
    there = catalogue(
        table("bill", "id int8!", "code text", primary=["id"]),
        sequences=tuple(
            Sequence(schema_name="public", name=f"{c}_seq", owner=name("bill"), owner_column=c) for c in ("id", "code")
        ),
    )
    there.privileges["public.id_seq"] = ALL
    result = plan("policy: pass", there)
    assert result.plan is not None
    assert [(s.name, s.column) for s in result.plan.sequences] == [("id_seq", "id")]
    assert warnings(result) == [("plan.sequence-in-text", "public.bill.code")]


@pytest.mark.parametrize(
    ("rule", "kind", "maximum", "largest", "warned"),
    [
        ("key", "integer", 150, 100, True), ("duplicate", "integer", 150, 100, False), ("key", "integer", 2**31 - 1, 100, False),
        ("key", "integer", 40_000, 100, False), ("key", "integer", 40_000, 35_000, True),
        ("key", "smallint", 2**15 - 1, 100, False), ("key", "bigint", 2**63 - 1, 2**53, False),
    ],
)  # fmt: skip
def test_a_sequence_that_ends_among_the_masked_keys_is_warned_of(
    rule: str, kind: str, maximum: int, largest: int, warned: bool
) -> None:
    fed = Sequence(
        schema_name="public", name="id_seq", owner=name("bill"), owner_column="id", data_type=kind, maximum=maximum
    )
    there = catalogue(table("bill", "id int8!", primary=["id"]), sequences=(fed,))
    there.privileges["public.id_seq"] = ALL
    facts = SourceFacts(largest={"public.bill.id": largest})
    result = plan(f"policy: pass\ntables: {{public.bill: {{columns: {{id: {rule}}}}}}}", there, facts=facts)
    assert (("plan.sequence-maximum", "public.bill.id") in warnings(result)) == warned


def test_a_rule_that_empties_a_part_of_a_match_full_key_is_refused() -> None:
    parent = table("parent", "a int4!", "b int4!", primary=["a", "b"])
    child = table("child", "id int4!", "a int4", "b int4", primary=["id"], oid=2)
    key = foreign_key("child", ["a", "b"], "parent", ["a", "b"])
    full = key.model_copy(update={"definition": f"{key.definition} MATCH FULL"})
    part = 'policy: pass\ntables:\n  public.child: {columns: {a: "null"}}\n'
    both = 'policy: pass\ntables:\n  public.child: {columns: {a: "null", b: "null"}}\n'
    problem = the_error(plan(part, catalogue(parent, child, keys=[full])))
    assert (problem.code, problem.where) == ("plan.torn-reference", "public.child foreign key child_a_b_fkey")
    assert "MATCH FULL" in problem.message
    planned(both, catalogue(parent, child, keys=[full]))
    planned(part, catalogue(parent, child, keys=[key]))


def test_a_match_full_key_is_not_guaranteed_by_one_of_match_simple() -> None:
    tables = (table("parent", "a int4!", "b int4!", primary=["a", "b"]), table("child", "a int4", "b int4", oid=2))
    simple = foreign_key("child", ["a", "b"], "parent", ["a", "b"])
    full = simple.model_copy(update={"definition": f"{simple.definition} MATCH FULL"})
    ours, theirs = catalogue(*tables, keys=[simple]), catalogue(*tables, keys=[full])
    told = ("plan.foreign-key-in-destination-only", "public.child foreign key child_a_b_fkey")
    assert told in warnings(plan("policy: pass\n", ours, theirs))
    assert told not in warnings(plan("policy: pass\n", theirs, ours))
    assert told not in warnings(plan("policy: pass\n", theirs, theirs))
