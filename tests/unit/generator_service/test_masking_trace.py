"""A masked batch goes on in the trace of its raw batch, whatever it is cut into."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.masking import TableMasker
from tailrace_generator.member import GeneratorMember
from tailrace_shared.batch import BatchHead, BatchId, associated_data, headers_of, traceparent_of
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.pump import Delivery
from tailrace_shared.envelope import DataCipher
from tailrace_shared.generators import MaskColumn, parse_rule
from tailrace_shared.plan.model import Plan, PlannedColumn, PlannedTable
from tailrace_shared.service.metrics import Metrics
from tailrace_shared.types import ColumnType

RUN = "01KA0000000000000000000001"
TEXT = ColumnType(name="text", base="text", family="text")


def table(rule: str) -> PlannedTable:
    mask = None if rule == "duplicate" else MaskColumn(type=TEXT, domain="d", family="text")
    column = PlannedColumn(name="name", type=TEXT, destination_type=TEXT, rule=parse_rule(rule), mask=mask)
    return PlannedTable(number=0, name=TableName(schema_name="public", name="t"), mode="carry", columns=(column,))


def member(planned: PlannedTable, message_bytes: int) -> GeneratorMember:
    """One that masks, without a broker."""
    made: Any = GeneratorMember.__new__(GeneratorMember)
    made._context, made._run = SimpleNamespace(metrics=Metrics("generator")), RUN
    made._cipher = DataCipher(bytes(32))
    made._plan = Plan.model_construct(tables=(planned,), message_bytes=message_bytes)
    made._maskers = {("d", 0): TableMasker(planned, MaskSecret.of("a secret for tests"))}
    masker: GeneratorMember = made
    return masker


@pytest.mark.parametrize(("rule", "several"), [("duplicate", False), ("mock.first_name", True)])
def test_the_trace_context_is_kept(rule: str, several: bool) -> None:
    identity = BatchId(RUN, 1, 0, 0, 3, 4, 0)
    batch = pa.record_batch({"name": ["Ann"] * 20_000})
    head = BatchHead(identity, "raw", 1, True, 20_000, 60_000, "d", "s", "k", RUN, traceparent_of(identity))
    headers = headers_of(head)
    value = bytes(DataCipher(bytes(32)).seal(ipc.encode(batch), associated_data(headers)))
    delivery = Delivery("raw", 0, 0, None, value, tuple(headers), len(value))
    one = member(table(rule), 100_000)
    masked = [made for made, _ in one._mask(one._plan, head, delivery)]
    assert (len(masked) > 1) is several
    assert {made.traceparent for made in masked} == {traceparent_of(identity)}
