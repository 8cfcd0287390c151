"""A hundred replicas: what must hold for any number of them, and what the leader does must not grow with it."""

from __future__ import annotations

from collections import Counter

import pytest

from support.fleet import MOST_BATCHES, SERVICES, SMALLEST, Fleet
from support.fleet_lane import LaneFleet
from tailrace_writer.state.read import CANDIDATES


@pytest.mark.parametrize(("seed", "partitions", "credit"), [(1, 12, 400), (2, 12, 100), (3, 100, 1000), (4, 3, 400)])
def test_every_range_is_loaded_once_within_the_credit_whoever_joins_leaves_or_dies(
    seed: int, partitions: int, credit: int
) -> None:
    fleet = Fleet(seed, partitions=partitions, credit=credit).run()
    assert fleet.state == "finishing", "nobody waits for ever"
    assert fleet.lost > 10
    batches = {(k.table, k.range, n): 1 for k, r in fleet.ranges.items() for n in range(r.batches)}
    assert fleet.rows == Counter(batches), "every batch has one effect"
    assert fleet.worst_credit <= credit
    for table in fleet.after:
        released = [k for k in fleet.released if k.table == table]
        assert released == sorted(k for k in fleet.ranges if k.table == table), "each once, in order, none passed over"
    assert max(r.reads for r in fleet.ranges.values()) <= 6, "what is lost is read again, not everything"
    assert_bounded(fleet)


def assert_bounded(fleet: Fleet) -> None:
    """What the leader looks at is bounded by the credit, what it names by the ranges; neither by how many replicas there are."""
    assert fleet.most_seen <= CANDIDATES + fleet.credit * MOST_BATCHES // SMALLEST
    assert fleet.named <= 3 * len(fleet.ranges) + fleet.sent_again + len(fleet.ranges) // 4
    assert fleet.named <= 4 * fleet.facts_applied


@pytest.mark.parametrize("replicas", [9, 30, 99])
def test_in_calm_every_range_is_read_once_and_the_leader_says_three_things_of_it(replicas: int) -> None:
    fleet = Fleet(5, replicas=replicas, chaos=0.0).run()
    assert fleet.state == "finishing"
    assert {r.reads for r in fleet.ranges.values()} == {1}
    assert (fleet.named, fleet.sent_again) == (3 * len(fleet.ranges), 0), "released, sent, done"
    assert_bounded(fleet)
    assert fleet.longest < 100, "what is released is soon there"


@pytest.mark.parametrize(("partitions", "working"), [(12, 12), (33, 33), (100, 33)])
def test_as_many_replicas_of_a_stage_work_as_there_are_partitions_and_none_of_these_starves(
    partitions: int, working: int
) -> None:
    fleet = Fleet(6, replicas=99, partitions=partitions, credit=2000, chaos=0.0, ranges=120).run()
    for service in SERVICES:
        handled = sorted((m.handled for m in fleet.groups[service].members), reverse=True)
        assert len(handled) == 33
        assert sum(count > 0 for count in handled) == working
        share = sum(handled) / working
        assert handled[working - 1] > share / 4, (service, handled)


def test_who_joins_while_a_run_loads_gets_a_share() -> None:
    fleet = Fleet(7, replicas=6, partitions=12, chaos=0.0, ranges=120)
    fleet.run(ticks=30)
    assert fleet.state == "loading"
    for service in SERVICES:
        for _ in range(6):
            fleet._join(service)
    fleet.run()
    assert fleet.state == "finishing"
    for service in SERVICES:
        assert all(member.handled for member in fleet.groups[service].members), service


@pytest.mark.parametrize("seed", range(20))
def test_a_lane_keeps_the_order_of_its_source_whoever_captures_masks_and_owns_it(seed: int) -> None:
    lane = LaneFleet(seed).run()
    assert lane.position.lsn == lane.transactions, "it gets there"
    assert len(lane.owners) > 5
    assert lane.in_order
