"""Which runs are abandoned: silence that was watched, of runs that nobody here knows and that have no topics."""

from __future__ import annotations

from tailrace_writer.abandoned import NEVER_PLANNED_S, Unfinished, Watch, runs_with_topics

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PATIENCE_S = 120.0
STALE_S = 10.0


def unfinished(silent_s: float, *, epoch: int = 1, had_topics: bool = True) -> Unfinished:
    return Unfinished(RUN, epoch, silent_s, had_topics)


def watched(*looks: tuple[float, Unfinished], known: frozenset[str] = frozenset()) -> list[bool]:
    """Whether the run was judged silent at each look."""
    watch = Watch(PATIENCE_S, STALE_S)
    return [bool(watch.silent([run], known, now)) for now, run in looks]


def test_a_run_that_stays_silent_while_it_is_watched_may_be_abandoned() -> None:
    assert watched((0, unfinished(5000)), (5, unfinished(5005)), (10, unfinished(5010))) == [False, False, True]


def test_a_leader_that_was_heard_of_within_the_patience_is_waited_for() -> None:
    assert watched((0, unfinished(100)), (9, unfinished(109)), (18, unfinished(118))) == [False] * 3


def test_a_sign_of_life_while_watching_starts_anew() -> None:
    looks = [(0, unfinished(200)), (8, unfinished(0.5)), (16, unfinished(200)), (24, unfinished(208))]
    assert watched(*looks) == [False] * 4


def test_another_leader_that_fell_silent_is_watched_anew() -> None:
    looks = [(0, unfinished(200)), (8, unfinished(208, epoch=2)), (16, unfinished(216, epoch=2))]
    assert watched(*looks) == [False] * 3


def test_a_run_of_this_namespace_is_never_abandoned() -> None:
    looks = [(float(now), unfinished(5000 + now)) for now in range(0, 60, 5)]
    assert watched(*looks, known=frozenset({RUN})) == [False] * 12


def test_after_an_outage_of_the_destination_everybody_gets_the_time_to_come_back() -> None:
    watch = Watch(PATIENCE_S, STALE_S)
    assert not watch.silent([unfinished(300)], (), 0)
    watch.reset()
    assert not watch.silent([unfinished(310)], (), 9)
    assert not watch.silent([unfinished(318)], (), 18)
    assert watch.silent([unfinished(319)], (), 19)


def test_what_a_writer_that_was_stopped_has_not_seen_does_not_count() -> None:
    assert watched((0, unfinished(300)), (3600, unfinished(3900)), (3605, unfinished(3905))) == [False] * 3


def test_a_run_without_topics_has_a_day_since_nothing_tells_that_they_are_gone() -> None:
    early, late = NEVER_PLANNED_S - 100, NEVER_PLANNED_S + 1
    assert watched(*((now, unfinished(early + now, had_topics=False)) for now in (0.0, 8.0, 16.0))) == [False] * 3
    assert watched(*((now, unfinished(late + now, had_topics=False)) for now in (0.0, 8.0, 16.0))) == [
        False,
        False,
        True,
    ]


def test_topics_of_any_namespace_tell_their_run() -> None:
    names = [f"staging.raw.{RUN.lower()}", "tailrace.jobs", f"other.plan.{'01BX5ZZKBKACTAV9WEVGEMMVRZ'.lower()}"]
    assert runs_with_topics(names) == {RUN, "01BX5ZZKBKACTAV9WEVGEMMVRZ"}
