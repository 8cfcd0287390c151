"""What more cores would give: the arithmetic behind ``make bench-scale``."""

from __future__ import annotations

import pytest
from bench.scale_model import BUSY, Stage, growth, predict


def test_growth_is_what_each_further_replica_adds() -> None:
    assert growth({1: 2.0, 2: 2.2, 4: 2.6}) == pytest.approx(0.1)
    assert growth({1: 2.0, 2: 1.9, 4: 1.8}) == 0.0, "that more replicas are cheaper is noise"
    assert growth({1: 2.0}) == 0.0


def test_without_a_cost_of_coordination_cores_and_rate_grow_alike() -> None:
    stages = {name: Stage(1.0) for name in ("reader", "generator", "writer")}
    rates = [predict(stages, 1.0, cores) for cores in (2, 8, 16)]
    assert [told.rate for told in rates] == pytest.approx([BUSY * 2 / 4, BUSY * 8 / 4, BUSY * 16 / 4])
    assert rates[0].replicas == dict.fromkeys(stages, 1), "the fewest that reach it"
    assert rates[2].replicas == dict.fromkeys(stages, 4)
    assert rates[2].bound == "cores"


def test_coordination_costs_more_with_every_replica() -> None:
    free, dear = (predict({"generator": Stage(1.0, share)}, 1.0, 16).rate for share in (0.0, 0.1))
    assert dear < free


def test_a_stage_has_no_more_replicas_than_partitions_and_then_decides() -> None:
    told = predict({"generator": Stage(4.0, most=2), "writer": Stage(0.5)}, 0.5, 16)
    assert (told.replicas["generator"], told.bound) == (2, "generator")
    assert told.rate == pytest.approx(2 * BUSY / 4)
