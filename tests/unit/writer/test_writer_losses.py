"""Who is lost, who has only left, and when memory is named as the likely cause."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace_writer.losses import KEPT, Losses, loss_of

MB = 1 << 20


def row(
    replica: str = "generator-1", age: float = 0.0, used: int = 100 * MB, limit: int = 0, **more: Any
) -> dict[str, Any]:
    given = {"replica": replica, "service": replica.split("-")[0], "age": age, "leaving": False}
    return given | {"memory_bytes": used, "memory_limit": limit} | more


@pytest.mark.parametrize(
    ("used", "limit", "cause"),
    [
        (250 * MB, 256 * MB, "memory"),
        (231 * MB, 256 * MB, "memory"),
        (200 * MB, 256 * MB, "unknown"),
        (250 * MB, 0, "unknown"),
    ],
)
def test_memory_is_named_where_the_last_heartbeat_was_near_the_limit(used: int, limit: int, cause: str) -> None:
    assert loss_of(row(used=used, limit=limit), 1000.0).cause == cause


def test_a_replica_that_falls_silent_is_lost_once() -> None:
    losses = Losses(10.0)
    assert losses.look(1000.0, [row()], settled=True) == []
    (lost,) = losses.look(1011.0, [row(age=11.0)], settled=True)
    assert (lost.replica, lost.service, lost.at.timestamp()) == ("generator-1", "generator", 1011.0)
    assert losses.look(1500.0, [row(age=500.0)], settled=True) == []
    assert losses.latest == (lost,)


def test_nobody_is_lost_who_said_goodbye_or_while_silence_means_nothing() -> None:
    losses = Losses(10.0)
    losses.look(1000.0, [row(), row("reader-1")], settled=True)
    assert losses.look(1020.0, [row(age=20, leaving=True), row("reader-1", age=20)], settled=False) == []
    (lost,) = losses.look(1021.0, [row(age=21, leaving=True), row("reader-1", age=21)], settled=True)
    assert lost.replica == "reader-1"


def test_a_replica_that_goes_on_was_not_lost_and_may_be_lost_again() -> None:
    losses = Losses(10.0)
    losses.look(1000.0, [row()], settled=True)
    assert losses.look(1011.0, [row(age=11)], settled=True)
    assert losses.look(1020.0, [row()], settled=True) == []
    assert losses.latest == ()
    assert losses.look(1031.0, [row(age=11)], settled=True)


def test_a_new_leader_knows_what_the_record_names_and_leaves_the_distant_past_alone() -> None:
    former = Losses(10.0)
    former.look(1000.0, [row()], settled=True)
    former.look(1011.0, [row(age=11)], settled=True)
    losses = Losses(10.0, former.latest)
    rows = [row(age=30), row("reader-1", age=30), row("writer-1", age=5000)]
    assert [loss.replica for loss in losses.look(1030.0, rows, settled=True)] == ["reader-1"]
    assert [loss.replica for loss in losses.latest] == ["generator-1", "reader-1"]


def test_the_record_names_the_latest_few() -> None:
    losses = Losses(10.0)
    for number in range(KEPT + 5):
        losses.look(1000.0 + number, [row(f"generator-{number}", age=11)], settled=True)
    assert [loss.replica for loss in losses.latest] == [f"generator-{n}" for n in range(5, KEPT + 5)]
