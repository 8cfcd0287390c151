"""Every type with its edge values, through reader, Kafka, generator and writer; and masks of values that travel in two ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from conformance import database as made
from conformance.case import TypeCase
from conformance.pair import JOB, make_conformance_pair, unequal_masks
from support.databases import Pair
from support.installation import Installation
from tailrace.embedded.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def carried(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> tuple[Pair, list[TypeCase]]:
    return make_conformance_pair("conformance", source, destination)


def test_every_type_arrives_byte_equal_through_the_whole_pipeline(
    install: Callable[..., Installation], carried: tuple[Pair, list[TypeCase]]
) -> None:
    pair, cases = carried
    record = install(pair, replicas={"generator": 2}).run(JOB, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert len(cases) > 200
    urls = (pair.source.url(pair.name), pair.destination.url(pair.name))
    assert asyncio.run(made.differing(*urls, cases)) == []


def test_masks_are_equal_whether_the_value_travelled_typed_or_as_text(carried: tuple[Pair, list[TypeCase]]) -> None:
    assert unequal_masks(carried[0]) == []
