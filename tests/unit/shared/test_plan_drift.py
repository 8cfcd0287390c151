"""What only the destination asks for is told in the plan, each once and with a remedy."""

from __future__ import annotations

import pytest

from support.catalogues import catalogue, column, errors, plan, planned, table, unique, warnings
from tailrace_shared.catalogue.model import CheckConstraint, Partition, Rule, Table
from tailrace_shared.plan.model import PlanResult

POSITIVE = CheckConstraint(name="positive", definition="CHECK ((a > 0))", columns=("a",))


def between(ours: Table, theirs: Table, rules: str = "policy: pass", **more: str) -> PlanResult:
    result = plan(rules, catalogue(ours), catalogue(theirs, **more))
    for problem in result.problems:
        assert problem.remedy
    return result


def leaf(leaf_name: str, *bounds: str, pages: int = 1) -> Partition:
    name = table(leaf_name).name
    return Partition(name=name, oid=2, filenode=2, pages=pages, rows=1, bytes=8192, bounds=bounds)


def test_equal_tables_have_nothing_to_tell() -> None:
    same = table("t", "a int4!", "b text", primary=["a"], checks=(POSITIVE,))
    assert between(same, same).problems == ()


@pytest.mark.parametrize("domain", ["", "public.positive"])
def test_a_check_that_the_source_does_not_have(domain: str) -> None:
    check = POSITIVE.model_copy(update={"domain": domain})
    ours, theirs = table("t", "a int4"), table("t", "a int4", checks=(check,))
    (found,) = warnings(between(ours, theirs))
    assert found[0] == "plan.check-in-destination-only"
    assert found[1].startswith("public.t check positive")


def test_a_check_of_the_source_counts_only_where_it_holds_for_every_row() -> None:
    late = POSITIVE.model_copy(update={"definition": "CHECK ((a > 0)) NOT VALID"})
    idle = POSITIVE.model_copy(update={"definition": "CHECK ((a > 0)) NOT ENFORCED"})
    here, there = (lambda c: table("t", "a int4", checks=(c,))), table("t", "a int4", checks=(POSITIVE,))
    assert [w for w, _ in warnings(between(here(late), there))] == ["plan.check-in-destination-only"]
    assert [w for w, _ in warnings(between(here(idle), there))] == ["plan.check-in-destination-only"]
    assert warnings(between(there, here(late))) == warnings(between(table("t", "a int4"), here(idle))) == []


def test_a_check_over_masked_columns_is_told_once() -> None:
    ours, theirs = table("t", "a int4"), table("t", "a int4", checks=(POSITIVE,))
    rules = "tables: {public.t: {columns: {a: mask.number}}}"
    assert [w for w, _ in warnings(between(ours, theirs, rules))] == ["plan.check"]


def test_an_exclusion_that_the_source_does_not_have() -> None:
    apart = unique(
        "apart",
        "a",
        unique=False,
        exclusion=True,
        constraint="apart",
        definition="CREATE INDEX apart ON public.t USING gist (a)",
    )
    named_else = apart.model_copy(update={"name": "b", "definition": "CREATE INDEX b ON x.t USING gist (a)"})
    there = table("t", "a int4", indexes=[apart])
    assert warnings(between(table("t", "a int4"), there)) == [
        ("plan.exclusion-in-destination-only", "public.t constraint apart")
    ]
    assert warnings(between(table("t", "a int4", indexes=[named_else]), there)) == []


def test_a_column_that_only_the_destination_generates() -> None:
    plain, made = column("b int4", 2), column("b int4", 2, generated="s")
    there = table("t", "a int4", made)
    assert warnings(between(table("t", "a int4", plain), there)) == [
        ("plan.generated-in-destination-only", "public.t.b")
    ]
    assert warnings(between(table("t", "a int4", made), there)) == []


def test_a_partition_with_rows_and_no_counterpart() -> None:
    def parted(*leaves: Partition, bounded: bool = True) -> Table:
        columns = {"partition_columns": ("a",), "bounded_columns": ("a",) if bounded else ()}
        return table("t", "a int4", kind="p", partitions=leaves, **columns)

    one, two = leaf("t1", "FOR VALUES IN (1)"), leaf("t2", "FOR VALUES IN (2)")
    assert warnings(between(parted(one, two), parted(one))) == [("plan.partition-missing", "public.t")]
    assert warnings(between(parted(one, leaf("t2", "FOR VALUES IN (2)", pages=0)), parted(one))) == []
    assert warnings(between(parted(one, two), parted(one, leaf("rest", "DEFAULT"), bounded=False))) == []


def test_a_rule_on_insert_is_passed_over_by_a_load_and_refused_where_rows_are_appended() -> None:
    def ruled(enabled: str) -> Table:
        return table("t", "a int4", rules=(Rule(name="r", event="insert", enabled=enabled),))  # type: ignore[arg-type]

    append = 'policy: pass\ndestination: {url: "${D}", mode: append}'
    assert warnings(between(table("t", "a int4"), ruled("O"))) == [("plan.insert-rule", "public.t rule r")]
    assert errors(between(table("t", "a int4"), ruled("O"), append)) == [("plan.insert-rule", "public.t rule r")]
    assert warnings(between(table("t", "a int4"), ruled("D"))) == []


def test_an_encoding_that_lacks_characters() -> None:
    same = table("t", "a text")
    assert warnings(between(same, same, encoding="LATIN1")) == [("plan.encoding", "db")]
    assert warnings(between(same, same, encoding="SQL_ASCII")) == []


def test_a_not_null_that_was_never_proved_in_the_source() -> None:
    ours = table("t", column("a int4!", not_null_proved=False))
    assert warnings(between(ours, table("t", "a int4!"))) == [("plan.nullable-source", "public.t.a")]


def test_a_masked_partition_key_is_refused_only_where_a_value_may_have_no_partition() -> None:
    def parted(bounded: tuple[str, ...]) -> Table:
        return table(
            "t", "a int4!", primary=["a"], kind="p", partitions=[leaf("t1", "x")], partition_columns=("a",),
            bounded_columns=bounded,
        )  # fmt: skip

    rules = "tables: {public.t: {columns: {a: key}}}"
    assert planned(rules, catalogue(parted(()))).tables[0].columns[0].masked
    assert errors(between(parted(("a",)), parted(("a",)), rules)) == [("plan.partition-key", "public.t.a")]
