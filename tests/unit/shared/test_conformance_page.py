"""The page on PostgreSQL says what the conformance table and the nasty schema hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.cases import SCALARS
from conformance.features import FEATURES, Feature
from conformance.page import base_of, rendered

TESTS = Path(__file__).parents[2]


def test_the_page_is_made_from_the_table() -> None:
    told = "run `PYTHONPATH=tests python -m conformance.page > docs/postgresql.md`"
    assert (TESTS.parent / "docs" / "postgresql.md").read_text() == rendered(), told


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_has_its_proof(feature: Feature) -> None:
    path, _, test = feature.proof.partition("::")
    if path.endswith((".py", ".sql")) and (TESTS / path).is_file():
        assert test in (TESTS / path).read_text()
    else:
        assert feature.proof in (TESTS / "e2e" / "databases" / "nasty.sql").read_text()


def test_the_page_knows_what_travels_typed() -> None:
    typed = {case.name for case in SCALARS if base_of(case).wire != "text"}
    assert {"smallint", "double", "numeric_p_s", "date", "time_p", "timestamptz", "uuid", "boolean", "domain"} <= typed
    assert not typed & {"numeric", "numeric_wide", "timetz", "money", "interval", "jsonb", "enumeration"}
