"""Generated tables by their plan: references join, composite keys differ, batches are the same however an order is cut."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from support.catalogues import catalogue, foreign_key, planned, table, unique
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.making import TableMaker
from tailrace_generator.masking import TableMasker
from tailrace_generator.workshop import Workshop
from tailrace_shared.plan.model import Plan

SECRET = MaskSecret(bytes(range(32)))
SHOP = catalogue(
    table(
        "customer", "id int4!", "boss_id int4", "email varchar(60)!", primary=["id"], indexes=[unique("mail", "email")]
    ),
    table("badge", "number uuid!", "customer_id int8!", primary=["number"], indexes=[unique("one", "customer_id")]),
    table("orders", "id uuid!", "customer_id int8!", primary=["id"]),
    table("line", "order_id uuid!", "number int2!", primary=["order_id", "number"]),
    table("parcel", "id int8!", "order_id uuid", "number int2", primary=["id"]),
    keys=(
        foreign_key("customer", ["boss_id"], "customer"),
        foreign_key("badge", ["customer_id"], "customer"),
        foreign_key("orders", ["customer_id"], "customer"),
        foreign_key("line", ["order_id"], "orders"),
        foreign_key("parcel", ["order_id", "number"], "line", ["order_id", "number"]),
    ),
)
JOB = """\
policy: mask
tables:
  public.customer: {mode: generate, rows: 500, columns: {email: mock.email}}
  public.badge: {mode: generate, rows: 500}
  public.line: {mode: generate, rows: 3000, columns: {number: {generator: make.number, low: 1, high: 9}}}
  public.parcel:
    mode: generate
    rows: 800
    columns: {order_id: {generator: make.reference, null_share: 0.25}, number: {generator: make.reference, null_share: 0.25}}
  public.*: {mode: generate, rows: 1000}
"""


def made(plan: Plan) -> dict[str, pa.Table]:
    workshop = Workshop(plan, SECRET)
    return {t.name.name: pa.Table.from_batches([TableMaker(t, workshop)(0, t.rows)]) for t in plan.tables}


def test_every_reference_leads_to_a_row_and_every_unique_index_holds() -> None:
    rows = made(planned(JOB, SHOP))
    customers = rows["customer"]
    ids = set(customers["id"].to_pylist())
    assert ids == set(range(1, 501))
    assert len(customers["email"].unique()) == 500
    bosses = customers["boss_id"].to_pylist()
    assert bosses[0] is None
    assert all(boss is not None and boss < own for boss, own in zip(bosses[1:], range(2, 501), strict=True))
    assert sorted(rows["badge"]["customer_id"].to_pylist()) == sorted(ids), "one to one: a permutation"
    assert set(rows["orders"]["customer_id"].to_pylist()) <= ids
    lines = list(zip(rows["line"]["order_id"].to_pylist(), rows["line"]["number"].to_pylist(), strict=True))
    assert len(set(lines)) == len(lines) == 3000
    assert {order for order, _ in lines} <= set(rows["orders"]["id"].to_pylist())
    parcels = list(zip(rows["parcel"]["order_id"].to_pylist(), rows["parcel"]["number"].to_pylist(), strict=True))
    assert {(a is None, b is None) for a, b in parcels} == {(True, True), (False, False)}, "NULL together"
    assert {pair for pair in parcels if pair[0] is not None} <= set(lines)
    assert 150 < sum(order is None for order, _ in parcels) < 250


def test_batches_do_not_depend_on_how_an_order_is_cut() -> None:
    plan = planned(JOB, SHOP)
    for planned_table in plan.tables:
        maker = TableMaker(planned_table, Workshop(plan, SECRET))
        whole = maker(0, 300)
        pieces = [TableMaker(planned_table, Workshop(plan, SECRET))(first, 75) for first in (225, 0, 150, 75)]
        assert pa.Table.from_batches(
            [pieces[1], pieces[3], pieces[2], pieces[0]]
        ).combine_chunks() == pa.Table.from_batches([whole])


def test_carried_rows_refer_to_generated_ones_by_their_values() -> None:
    two = catalogue(SHOP.tables[1], SHOP.tables[3], keys=[SHOP.foreign_keys[2]])
    plan = planned("policy: mask\ntables:\n  public.customer: {mode: generate, rows: 7}\n  public.orders: {}\n", two)
    orders = next(t for t in plan.tables if t.name.name == "orders")
    place = [c.name for c in orders.columns].index("customer_id")
    masker = TableMasker(orders, SECRET, Workshop(plan, SECRET))
    values = pa.array([10**12 + n % 50 for n in range(2000)], pa.int64())
    out = masker.column(place, values)
    assert set(out.to_pylist()) == set(range(1, 8))
    assert max(Counter(zip(values.to_pylist(), out.to_pylist(), strict=True)).values()) == 40, "equal values, one row"
    text = masker.column(place, values.cast(pa.string()))
    assert text.to_pylist() == [str(v) for v in out.to_pylist()]
    nulls = masker.column(place, pa.array([None, 5], pa.int64()))
    assert nulls.to_pylist()[0] is None
