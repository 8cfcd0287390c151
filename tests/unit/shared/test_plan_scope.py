"""What is carried less, and what becomes of references: decided from catalogues alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.catalogues import catalogue, errors, foreign_key, plan, planned, table, unique, warnings
from tailrace_shared.envelope import TransportKey
from tailrace_shared.errors import TerminalError, UsageError
from tailrace_shared.job.load import load_job
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.filters import ScopeFacts
from tailrace_shared.plan.model import Plan, PlannedRange, RowEnd
from tailrace_shared.plan.ranges import ended
from tailrace_shared.plan.sealing import open_filters, seal_filters

PARENT = table("parent", "id int4!", "name text", primary=["id"])
CHILD = table("child", "id int4!", "parent int4", primary=["id"])
GRAND = table("grand", "id int4!", "child int4!", primary=["id"])
KEYS = [foreign_key("child", ["parent"], "parent"), foreign_key("grand", ["child"], "child")]
FAMILY = catalogue(PARENT, CHILD, GRAND, keys=KEYS)
WHERE = "policy: pass\ntables: {public.parent: {where: 'id > ${N}'}}\n"


def facts(**more: object) -> SourceFacts:
    values: dict[str, object] = {"where": {"public.parent": "id > 'seven'"}} | more
    return SourceFacts(rows=ScopeFacts.model_validate(values))


def condition(found: Plan, name: str) -> str:
    number = next(t.number for t in found.tables if t.name.name == name)
    return next((f.condition for f in found.filters if f.table == number), "")


def test_a_reduced_table_reduces_those_that_refer_to_it_and_nobody_else() -> None:
    made = planned("missing_parents: exclude\n" + WHERE, FAMILY, facts=facts())
    assert [t.filtered for t in made.tables] == [True, True, True]
    assert condition(made, "child") == (
        '(t."parent" IS NULL OR EXISTS (SELECT FROM (SELECT "id" FROM ONLY "public"."parent" AS t WHERE (id > \'seven\'\n)) AS p '
        'WHERE p."id" = t."parent"))'
    )
    assert condition(made, "grand").count("EXISTS") == 2
    assert '"child" IS NULL' not in condition(made, "grand"), "NOT NULL"
    nulled = planned("missing_parents: nullify\n" + WHERE, FAMILY, facts=facts())
    assert [t.filtered for t in nulled.tables] == [False, False, True], "in the order of names: child, grand, parent"
    (kept,) = (f.kept for f in nulled.filters if f.kept)
    assert list(kept) == ["parent"]


def test_what_was_not_asked_is_not_planned() -> None:
    assert ("plan.where", "public.parent") in errors(plan("missing_parents: exclude\n" + WHERE, FAMILY))
    limited = "policy: pass\nmissing_parents: exclude\ntables: {public.parent: {rows: 5}}"
    assert errors(plan(limited, FAMILY)) == [("plan.row-limit", "public.parent")]
    refused = "policy: pass\ntables: {public.parent: {rows: 5}}"
    unasked = facts(where={}, ends={"public.parent": None})
    assert errors(plan(refused, FAMILY, facts=unasked)) == [
        ("plan.missing-parents", "public.child foreign key child_parent_fkey")
    ]
    asked = facts(where={}, ends={"public.parent": None}, missing={"public.child foreign key child_parent_fkey": False})
    assert planned(refused, FAMILY, facts=asked)


def test_no_row_at_all_leaves_no_range_and_every_reference_behind() -> None:
    made = planned("policy: pass\nmissing_parents: exclude\ntables: {public.parent: {rows: 0}}", FAMILY)
    assert made.tables[2].ranges == ()
    assert condition(made, "child") == '(t."parent" IS NULL)'


@pytest.mark.parametrize(
    ("child", "why"),
    [
        (table("child", "id int4!", "parent int4!", primary=["id"]), "NOT NULL"),
        (table("child", "id int4!", "parent int4", primary=["id"], indexes=[unique("once", "parent", nulls_not_distinct=True)]),
         "NULLS NOT DISTINCT"),
        (table("child", "parent int4", kind="p", partition_columns=("parent",)), "partitioned"),
    ],
)  # fmt: skip
def test_a_reference_that_cannot_become_null_is_refused_with_the_reason(child: object, why: str) -> None:
    source = catalogue(PARENT, child, keys=KEYS[:1])  # type: ignore[arg-type]
    result = plan("missing_parents: nullify\n" + WHERE, source, facts=facts())
    (problem,) = [p for p in result.problems if p.code == "plan.nullify"]
    assert why in problem.message
    assert "exclude" in problem.remedy


def test_the_rule_null_closes_a_gap_and_so_does_a_parent_that_is_carried_whole() -> None:
    ruled = WHERE.replace("tables: {", "tables: {public.child: {columns: {parent: null}}, ")
    assert not planned(ruled, FAMILY, facts=facts()).tables[0].filtered
    assert planned("policy: pass", FAMILY).filters == ()


def test_exclusion_around_a_cycle_needs_its_rows_counted_out() -> None:
    boss = table("boss", "id int4!", "boss int4", primary=["id"])
    source = catalogue(boss, keys=[foreign_key("boss", ["boss"], "boss")])
    text = "policy: pass\nmissing_parents: exclude\ntables: {public.boss: {where: 'true'}}"
    where = {"public.boss": "true"}
    refused = errors(plan(text, source, facts=facts(where=where)))
    assert refused == [("plan.exclude-cycle", "public.boss foreign key boss_boss_fkey")]
    made = planned(text, source, facts=facts(where=where, excluded={"public.boss": ((0, 1, 2),)}))
    assert condition(made, "boss") == "(true\n) AND NOT (t.ctid = ANY('{\"(1,2)\"}'::tid[]))"


def test_too_many_paths_to_a_parent_are_refused_before_they_fill_the_memory() -> None:
    tables = [table(f"t{n}", "id int4!", "a int4!", "b int4!", primary=["id"]) for n in range(40)]
    keys = [foreign_key(f"t{n + 1}", [c], f"t{n}", name=f"k{n}{c}") for n in range(39) for c in ("a", "b")]
    text = "policy: pass\nmissing_parents: exclude\ntables: {public.t0: {where: 'true'}}"
    found = errors(plan(text, catalogue(*tables, keys=keys), facts=facts(where={"public.t0": "true"})))
    assert {code for code, _ in found} == {"plan.filter-too-deep"}


# --- keys that the job declares --------------------------------------------------------------------------------------

NOTE = table("note", "id int4!", "kind text", "owner int8", primary=["id"])
LOOSE = catalogue(PARENT, CHILD, NOTE, keys=KEYS[:1])
POLY = """\
policy: pass
foreign_keys:
  - {table: public.note, columns: [owner], references: public.parent, when: {kind: P}}
  - {table: public.note, columns: [owner], references: public.child, when: {kind: C}}
"""


def test_all_targets_of_a_polymorphic_key_share_one_domain() -> None:
    made = planned(POLY + "tables: {public.child: {columns: {id: key}}}", LOOSE)
    domains = {f"{t.name.name}.{c.name}": c.mask.domain for t in made.tables for c in t.columns if c.mask}
    assert len(set(domains.values())) == 1
    assert set(domains) == {"note.owner", "parent.id", "child.id", "child.parent"}
    assert [(k.virtual, k.when, k.orphans) for k in made.foreign_keys if k.virtual] == [
        (True, {"kind": "P"}, None), (True, {"kind": "C"}, None),
    ]  # fmt: skip


def test_a_type_column_that_would_be_changed_is_refused() -> None:
    masked = POLY + "tables: {public.note: {columns: {kind: mask.text}}}"
    assert ("plan.when-masked", "public.note.kind") in errors(plan(masked, LOOSE))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("{table: public.notes, columns: [owner], references: public.parent}", "plan.virtual-key-table"),
        ("{table: public.note, columns: [ownr], references: public.parent}", "plan.virtual-key-columns"),
        ("{table: public.note, columns: [owner], references: public.parent, when: {knd: P}}", "plan.virtual-key-columns"),
        ("{table: public.note, columns: [owner, id], references: public.parent}", "plan.virtual-key-columns"),
        ("{table: public.note, columns: [kind], references: public.parent}", "plan.virtual-key-type"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_one_is_refused(key: str, code: str) -> None:
    result = plan(f"policy: pass\nforeign_keys: [{key}]", LOOSE)
    assert errors(result) == [(code, "foreign_keys.0")]
    assert all(p.remedy for p in result.problems)


def test_a_virtual_key_orders_nothing_and_says_what_the_source_lacks() -> None:
    text = POLY + 'destination: {url: "${D}", constraints: respect}\n'
    about = "public.note virtual foreign key (owner) to public.parent where kind"
    result = plan(text, LOOSE, facts=facts(where={}, orphans={about: 3}))
    assert ("plan.virtual-orphans", about) in warnings(result)
    assert result.plan is not None
    assert [t.after for t in result.plan.tables if t.name.name == "note"] == [()]


def test_keys_are_imported_from_beside_the_job_and_the_path_does_not_travel(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text('name: a\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\nforeign_keys_file: keys.json\n')
    keys = [{"table": "public.note", "columns": ["owner"], "references": "public.parent"}]
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    found = load_job(file)
    assert found.foreign_keys_file is None
    assert found.foreign_keys[0].columns == ("owner",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no file"), ("[{", ":1: not valid JSON"), ("{}", "the file"),
        ('[{"table": "secret-x"}]', "[0].columns: is missing"),
        ('[{"table": 1, "columns": ["a"], "references": "b", "extra": "secret-x"}]', "[0].extra: there is no such field"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_keys_is_refused_by_place_and_nothing_of_it_is_repeated(
    tmp_path: Path, text: str | None, says: str
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text('name: a\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\nforeign_keys_file: keys.json\n')
    if text is not None:
        (tmp_path / "keys.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_job(file)
    assert says in caught.value.message
    assert "keys.json" in caught.value.message
    assert "secret-x" not in caught.value.message


# --- what travels ----------------------------------------------------------------------------------------------------


def test_filters_travel_sealed_for_one_run_and_attempt() -> None:
    key, other = TransportKey.of("a transport key of tests"), TransportKey.of("another transport key of tests")
    made = planned("missing_parents: exclude\n" + WHERE, FAMILY, facts=facts())
    sealed = seal_filters(made, key)
    assert "seven" not in sealed.model_dump_json()
    assert "seven" not in made.model_dump_json(), "not even before it is sealed"
    arrived = Plan.decode(sealed.encode())
    assert open_filters(arrived, key) == {f.table: f for f in made.filters}
    for wrong, theirs in ((arrived, other), (arrived.model_copy(update={"attempt": 2}), key)):
        with pytest.raises(TerminalError):
            open_filters(wrong, theirs)
    whole = planned("policy: pass", FAMILY)
    assert seal_filters(whole, key) == whole
    assert open_filters(whole, key) == {}


@given(st.integers(0, 3), st.integers(0, 30), st.integers(1, 20), st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_ranges_end_at_the_place_of_the_first_row_that_stays_behind(
    leaf: int, block: int, item: int, pieces: list[int]
) -> None:
    ranges = tuple(
        PlannedRange(number=0, leaf=n, low=low, high=None if low == count * 3 - 3 else low + 3, estimated_bytes=3)
        for n, count in enumerate(pieces)
        for low in range(0, count * 3, 3)
    )
    end = RowEnd(leaf=leaf, block=block, item=item)

    def holds(found: tuple[PlannedRange, ...], place: tuple[int, int, int]) -> bool:
        return any(
            r.leaf == place[0] and (r.low, 0) <= place[1:] and (r.high is None or place[1:] < (r.high, r.high_item))
            for r in found
        )

    cut = ended(ranges, end)
    for n in range(len(pieces)):
        for b in range(32):
            for i in (1, item - 1, item, item + 1):
                place = (n, b, i)
                assert holds(cut, place) == (holds(ranges, place) and place < (leaf, block, item)), place
