"""A batch's headers: what is written is read back, and its trace context is a function of its identity."""

from __future__ import annotations

import re

import pytest
from ulid import ULID

from tailrace_shared.batch import BatchHead, BatchId, head_of, headers_of, traceparent_of

RUN = "01KA0000000000000000000001"
ONE = BatchId(RUN, 1, 2, 0, 3, 4, 0)


def test_a_trace_context_has_the_form_of_the_standard() -> None:
    text = traceparent_of(ONE)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text)
    assert text.split("-")[1] == ULID.from_str(RUN).bytes.hex()
    assert "0" * 16 not in text.split("-")[2]


def test_a_run_is_one_trace_and_each_batch_a_span_of_its_own() -> None:
    ids = [ONE._replace(**{field: 7}) for field in ("attempt", "table", "load", "range", "batch")]
    texts = [traceparent_of(identity) for identity in (ONE, *ids)]
    assert len({text.split("-")[1] for text in texts}) == 1
    assert len({text.split("-")[2] for text in texts}) == 6
    assert traceparent_of(BatchId(*ONE)) == texts[0], "the same on every delivery"
    assert traceparent_of(ONE._replace(run=str(ULID()))).split("-")[1] != texts[0].split("-")[1]


def test_only_a_runs_ulid_makes_a_trace() -> None:
    with pytest.raises(ValueError, match="ULID"):
        traceparent_of(ONE._replace(run="R"))


def test_heads_travel_in_headers_whole() -> None:
    head = BatchHead(ONE, "raw", 1, True, 5, 50, "d", "s", "k", RUN, traceparent_of(ONE))
    assert head_of(headers_of(head)) == head
