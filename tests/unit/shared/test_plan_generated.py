"""Generated tables in a plan: references drawn, unique indexes proved by slots, what cannot be made refused."""

from __future__ import annotations

from typing import Any

import pytest

from support.catalogues import catalogue, foreign_key, table, unique
from support.catalogues import plan as plan_of
from tailrace_shared.catalogue.model import CheckConstraint
from tailrace_shared.generators import Key, MakeReference, Null
from tailrace_shared.plan.model import ORDER, Plan, PlanResult

CUSTOMER = table("customer", "id int4!", "email varchar(60)", "joined date", primary=["id"])
ORDERS = table("orders", "id int8!", "customer_id int4!", "total numeric(10,2)", primary=["id"])
LINE = table("line", "order_id int8!", "number int2!", "product varchar(20)", primary=["order_id", "number"])
PARCEL = table("parcel", "id uuid!", "order_id int8!", "number int2!", primary=["id"])
KEYS = (
    foreign_key("orders", ["customer_id"], "customer"),
    foreign_key("line", ["order_id"], "orders"),
    foreign_key("parcel", ["order_id", "number"], "line", ["order_id", "number"]),
    foreign_key("parcel", ["order_id"], "orders", name="parcel_orders"),
)
SHOP = catalogue(CUSTOMER, ORDERS, LINE, PARCEL, keys=KEYS)


def planned(tables: str, source: Any = SHOP, policy: str = "mask") -> PlanResult:
    return plan_of(f"policy: {policy}\ntables:\n{tables}", source)


def codes(result: PlanResult) -> set[str]:
    return {problem.code for problem in result.problems}


def good(result: PlanResult) -> Plan:
    assert result.plan is not None, result.problems
    return result.plan


def test_every_column_of_a_generated_schema_gets_a_generator_and_every_key_a_proof() -> None:
    plan = good(planned("  public.*: {mode: generate, rows: 100}\n"))
    tables = {table.name.name: table for table in plan.tables}
    assert {t.mode for t in plan.tables} == {"generate"}
    assert all(t.rows == 100 and t.estimated_rows == 100 and not t.leaves for t in plan.tables)
    assert all(r.leaf == ORDER for t in plan.tables for r in t.ranges)
    rules = {c.name: c for c in tables["orders"].columns}
    assert isinstance(rules["id"].rule, Key)
    assert isinstance(rules["customer_id"].rule, MakeReference)
    assert rules["customer_id"].parent is not None
    assert rules["customer_id"].parent.table == tables["customer"].number
    assert {p.verdict for p in plan.proofs} == {"proved"}
    assert not any(c.masked for t in plan.tables for c in t.columns), "no leak scan: nothing is read"


def test_composite_keys_share_a_slot_and_follow_on_references_are_proved() -> None:
    plan = good(planned("  public.*: {mode: generate, rows: 100}\n"))
    line = next(t for t in plan.tables if t.name.name == "line")
    slots = {c.name: c.slot for c in line.columns if c.slot}
    assert set(slots) == {"order_id", "number"}
    assert slots["order_id"]
    assert slots["number"]
    assert slots["order_id"].total == slots["number"].total == 100 * 1000
    assert slots["order_id"].size == 100
    parcel = next(t for t in plan.tables if t.name.name == "parcel")
    parents = {c.name: c.parent.name for c in parcel.columns if c.parent}
    assert set(parents.values()) == {"parcel_order_id_number_fkey"}, "one row of line gives both columns"


def test_orders_are_whole_batches_below_the_job_s_bytes() -> None:
    plan = good(planned("  public.*: {mode: generate, rows: 1000000}\n"))
    customer = next(t for t in plan.tables if t.name.name == "customer")
    assert customer.ranges[0].low == 0
    assert [r.high for r in customer.ranges][:-1] == [r.low for r in customer.ranges][1:]
    assert customer.ranges[-1].high == 1_000_000
    first = customer.ranges[0]
    assert first.high is not None
    assert first.high % customer.rows_per_batch == 0
    assert first.estimated_bytes <= 32 << 20


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ("  public.customer: {mode: generate}\n  public.*: {mode: exclude}\n", "plan.rows-missing"),
        ("  public.customer: {mode: generate, rows: 5, columns: {email: mask.text}}\n  public.*: {mode: exclude}\n",
         "plan.needs-value"),
        ("  public.customer: {mode: generate, rows: 5, columns: {email: make.reference}}\n  public.*: {mode: exclude}\n",
         "plan.no-reference"),
        ("  public.orders: {mode: generate, rows: 5, columns: {customer_id: key}}\n  public.*: {mode: generate, rows: 5}\n",
         "plan.reference-rule"),
        ("  public.orders: {mode: generate, rows: 5, columns: {customer_id: null}}\n  public.*: {mode: generate, rows: 5}\n",
         "plan.not-null"),
        ("  public.customer: {mode: generate, rows: 0}\n  public.*: {mode: generate, rows: 5}\n", "plan.no-parent-rows"),
        ("  public.customer: {mode: truncate}\n  public.*: {mode: generate, rows: 5}\n", "plan.no-rule"),
        ("  public.customer: {columns: {id: key, email: mock.email, joined: mask.date}}\n"
         "  public.orders: {mode: generate, rows: 9, columns: {customer_id: {generator: make.number, high: 5}}}\n"
         "  public.*: {mode: exclude}\n", None),
        ("  public.line: {mode: generate, rows: 5000, columns: {number: {generator: make.number, low: 1, high: 9}}}\n"
         "  public.*: {mode: generate, rows: 500}\n", "plan.capacity"),
        ("  public.customer: {mode: generate, rows: 5, columns: {id: {generator: constant, value: 1}}}\n"
         "  public.*: {mode: generate, rows: 5}\n", "plan.not-unique"),
        ("  public.customer: {mode: generate, rows: 5, where: id > 3}\n  public.*: {mode: exclude}\n",
         "plan.filter-without-carry"),
        ("  public.customer: {mode: generate, rows: 5, columns: {joined: {generator: make.date, low: x}}}\n"
         "  public.*: {mode: exclude}\n", "plan.generator-range"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(tables: str, expected: str | None) -> None:
    result = planned(tables)
    errors = [p for p in result.problems if p.severity == "error"]
    if expected is None:
        assert not errors, errors
        assert "plan.outside-parent" in codes(result)
    else:
        assert expected in {p.code for p in errors}
        assert all(p.remedy for p in errors)


def test_without_a_policy_a_column_without_a_rule_stops_the_plan_but_a_reference_does_not() -> None:
    result = planned("  public.*: {mode: generate, rows: 5}\n", policy="halt")
    missing = {p.where for p in result.problems if p.code == "plan.no-rule"}
    assert "public.customer.id" in missing
    assert "public.orders.customer_id" not in missing


def test_a_carried_table_refers_to_generated_rows_by_its_values() -> None:
    plan = good(
        planned("  public.customer: {mode: generate, rows: 7}\n  public.orders: {columns: {id: key}}\n  public.*: {}\n")
    )
    orders = next(t for t in plan.tables if t.name.name == "orders")
    customer_id = next(c for c in orders.columns if c.name == "customer_id")
    assert isinstance(customer_id.rule, MakeReference)
    assert customer_id.parent is not None
    assert customer_id.parent.rows == 7
    assert not customer_id.masked


def test_carried_rows_do_not_share_out_a_composite_or_unique_reference() -> None:
    result = planned(
        "  public.line: {mode: generate, rows: 7}\n  public.orders: {mode: generate, rows: 7}\n"
        "  public.customer: {mode: generate, rows: 7}\n  public.parcel: {}\n"
    )
    assert "plan.composite-reference" in codes(result)
    one = table("badge", "id int4!", "customer_id int4!", primary=["id"], indexes=[unique("one", "customer_id")])
    shop = catalogue(CUSTOMER, one, keys=[foreign_key("badge", ["customer_id"], "customer")])
    result = planned("  public.customer: {mode: generate, rows: 7}\n  public.badge: {}\n", shop)
    assert "plan.generator-not-injective" in codes(result)
    assert planned("  public.*: {mode: generate, rows: 7}\n", shop).plan is not None, "generated, it is a permutation"
    result = planned("  public.customer: {mode: generate, rows: 5}\n  public.badge: {mode: generate, rows: 6}\n", shop)
    assert "plan.capacity" in codes(result)


def test_a_self_reference_leads_to_earlier_rows_and_a_circle_of_keys_is_refused() -> None:
    node = table("node", "id int4!", "parent_id int4", primary=["id"])
    plan = good(
        planned(
            "  public.*: {mode: generate, rows: 7}\n",
            catalogue(node, keys=[foreign_key("node", ["parent_id"], "node")]),
        )
    )
    parent = plan.tables[0].columns[1].parent
    assert parent is not None
    assert parent.earlier
    one, two = table("one", "id int4!", primary=["id"]), table("two", "id int4!", primary=["id"])
    keys = [foreign_key("one", ["id"], "two"), foreign_key("two", ["id"], "one")]
    result = planned("  public.*: {mode: generate, rows: 7}\n", catalogue(one, two, keys=keys))
    assert "plan.endless-reference" in codes(result)


@pytest.mark.parametrize(
    ("definition", "rule", "expected"),
    [
        ("CHECK ((price > (0)::numeric))", "{generator: make.number, low: 0.01, high: 9}", "proved"),
        ("CHECK ((price > (0)::numeric))", "{generator: make.number, low: 0, high: 9}", "error"),
        ("CHECK (((price >= 1.5) AND (price < (10)::numeric)))", "{generator: make.number, low: 1.5, high: 9.99}", "proved"),
        ("CHECK ((price <> (3)::numeric))", "{generator: make.number, low: 1, high: 9}", "warning"),
    ],
)  # fmt: skip
def test_a_plain_check_is_proved_or_refused(definition: str, rule: str, expected: str) -> None:
    check = CheckConstraint(name="sane", definition=definition, columns=("price",))
    item = table("item", "id int4!", "price numeric(6,2)", primary=["id"], checks=(check,))
    result = planned(f"  public.item: {{mode: generate, rows: 7, columns: {{price: {rule}}}}}\n", catalogue(item))
    found = [p.severity for p in result.problems if p.code == "plan.check"]
    assert found == ([] if expected == "proved" else [expected])


def test_a_column_that_may_be_null_points_nowhere_when_its_parent_is_not_generated() -> None:
    orders = table("orders", "id int8!", "customer_id int4", primary=["id"])
    shop = catalogue(CUSTOMER, orders, keys=KEYS[:1])
    plan = good(planned("  public.customer: {mode: truncate}\n  public.orders: {mode: generate, rows: 5}\n", shop))
    assert isinstance(plan.tables[1].columns[1].rule, Null)
