"""Rows from nothing, end to end: foreign keys of every kind, any replicas, a generator that dies in the middle of an order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.databases import DATABASES, Pair
from support.installation import Installation, eventually

JOB = """\
name: made
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate, constraints: REGIME}
policy: mask
limits: {rows_per_batch: 250, range_bytes: 65536, partitions: 6}
default_mode: exclude
tables:
  public.customer:
    mode: generate
    rows: 4000
    columns:
      first_name: mock.first_name
      last_name: mock.last_name
      email: mock.email
      city: {generator: make.choice, values: [Berlin, Porto, "O'Fallon"], weights: [5, 3, 1]}
      referred_by: {generator: make.reference, null_share: 0.5}
      note: {generator: make.words, null_share: 0.9}
      phone: {generator: make.pattern, pattern: "+1 555 99-9999"}
  public.product: {mode: generate, rows: 300, columns: {sku: {generator: make.pattern, pattern: "AA-9999"}}}
  public.orders:
    mode: generate
    rows: 9000
    columns: {customer_id: {generator: make.reference, skew: 4}}
  public.order_line:
    mode: generate
    rows: 20000
    columns: {line: {generator: make.number, low: 1, high: 12}, quantity: {generator: make.number, distribution: normal}}
  public.shipment: {mode: generate, rows: 5000}
"""
BYPASS, RESPECT = JOB.replace("REGIME", "bypass"), JOB.replace("REGIME", "respect")
ROWS = {"customer": 4000, "product": 300, "orders": 9000, "order_line": 20000, "shipment": 5000}


@dataclass
class Made:
    """An empty source, and what one replica of each service has made of its structure."""

    pair: Pair
    digest: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def made(runtime: object, new_pair: Callable[..., Pair]) -> Made:
    pair = new_pair("made_rows", (DATABASES / "shop.sql").read_text(), "")
    catalogue = pair.catalogue()
    with Installation(runtime, pair) as installation:  # type: ignore[arg-type]
        record = installation.run(BYPASS)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        assert {t.name.partition(".")[2]: t.rows_loaded for t in record.tables} == ROWS
        assert pair.catalogue() == catalogue
        eventually(lambda: not installation.topics_left(), 60, "the run's topics are gone")
    return Made(pair, pair.digest())


def test_as_many_rows_as_asked_for_come_from_an_empty_source(made: Made) -> None:
    for table, rows in ROWS.items():
        assert made.pair.value("source", f"SELECT count(*) FROM {table}") == 0
        assert made.pair.value("destination", f"SELECT count(*) FROM {table}") == rows


def test_keys_are_dense_and_references_lead_to_rows_of_every_kind(made: Made) -> None:
    ask = made.pair.value
    assert ask("destination", "SELECT array[min(customer_id), max(customer_id)] FROM customer") == [1, 4000]
    assert ask("destination", "SELECT count(*) FROM customer WHERE referred_by >= customer_id") == 0
    nulls = ask("destination", "SELECT count(*) FROM customer WHERE referred_by IS NULL")
    assert 1800 < nulls < 2200  # type: ignore[operator]
    joined = "SELECT count(*) FROM shipment JOIN order_line USING (order_id, line) JOIN orders USING (order_id)"
    assert ask("destination", joined) == ROWS["shipment"]
    busiest = (
        "SELECT sum(n) FROM (SELECT count(*) AS n FROM orders GROUP BY customer_id ORDER BY 1 DESC LIMIT 800) AS fifth"
    )
    assert ask("destination", busiest) > 0.65 * ROWS["orders"]  # type: ignore[operator]


def test_columns_hold_what_their_generators_say(made: Made) -> None:
    ask = made.pair.value
    assert ask("destination", "SELECT count(*) FROM product WHERE sku !~ '^[A-Z]{2}-[0-9]{4}$'") == 0
    cities = made.pair.fetch("destination", "SELECT city, count(*) AS n FROM customer GROUP BY 1 ORDER BY 2 DESC")
    assert [row["city"] for row in cities] == ["Berlin", "Porto", "O'Fallon"]
    assert ask("destination", "SELECT max(line) FROM order_line") == 12
    assert ask("destination", "SELECT nextval('shipment_shipment_id_seq')") > 5000  # type: ignore[operator]


def test_three_replicas_make_the_same_rows_and_constraints_may_stay(
    install: Callable[..., Installation], made: Made
) -> None:
    installation = install(made.pair, replicas={"generator": 3, "writer": 2})
    nothing = RESPECT.replace("referred_by: {generator: make.reference, null_share: 0.5}", "referred_by: null")
    record = installation.run(BYPASS)
    assert record.state == "done", record.failure
    assert made.pair.digest() == made.digest
    record = installation.run(nothing)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []


@pytest.mark.parametrize("signal", ["KILL", pytest.param("STOP", marks=pytest.mark.long)])
def test_a_generator_that_is_lost_in_the_middle_of_an_order_costs_nothing(
    install: Callable[..., Installation], made: Made, tmp_path: Path, signal: str
) -> None:
    installation = install(made.pair, replicas={"generator": 0})
    crash = {
        "TAILRACE_CRASH_AT": "generator.in-order:5",
        "TAILRACE_CRASH_ONCE": str(tmp_path / "once"),
        "TAILRACE_CRASH_SIGNAL": signal,
    }
    (doomed,) = installation.scale("generator", 1, **crash)
    run = installation.submit(BYPASS)
    eventually(lambda: (tmp_path / "once").exists(), 60, "a generator was lost")
    if signal == "KILL":
        eventually(lambda: not doomed.alive, 10, "it is dead")
    installation.scale("generator", 2 if signal == "STOP" else 1)
    record = installation.wait(run, seconds=120)
    assert record.state == "done", record.failure
    assert made.pair.digest() == made.digest


def test_carried_rows_refer_to_generated_ones(
    install: Callable[..., Installation], new_shop: Callable[..., Pair]
) -> None:
    pair = new_shop("mixed", 200)
    job = (
        'name: mixed\nsource: {url: "${SOURCE_URL}"}\ndestination: {url: "${DESTINATION_URL}"}\npolicy: mask\n'
        "default_mode: exclude\ntables:\n  public.customer: {mode: generate, rows: 50, columns: {email: mock.email}}\n"
        "  public.orders: {columns: {paid: duplicate}}\n"
    )
    record = install(pair).run(job)
    assert record.state == "done", record.failure or record.problems
    assert pair.value("destination", "SELECT count(*) FROM customer") == 50
    orders = pair.value("source", "SELECT count(*) FROM orders")
    assert pair.value("destination", "SELECT count(*) FROM orders JOIN customer USING (customer_id)") == orders
