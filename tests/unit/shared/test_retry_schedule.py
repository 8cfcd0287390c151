"""The retry schedule: bounded, growing, repeatable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.dataplane.retry import FOREVER, RetrySchedule


@given(st.integers(1, 10_000), st.text(max_size=8), st.floats(0, 1))
def test_a_delay_stays_within_its_limit_and_its_jitter(failures: int, seed: str, jitter: float) -> None:
    schedule = RetrySchedule(first_s=0.1, factor=2, limit_s=5, attempts=None, jitter=jitter)
    plain = min(5, 0.1 * 2 ** min(failures - 1, 64))
    delay = schedule.delay(failures, seed)
    assert delay is not None
    assert plain * (1 - jitter) - 1e-9 <= delay <= plain
    assert delay == schedule.delay(failures, seed)


def test_attempts_are_spent_after_their_number() -> None:
    schedule = RetrySchedule(attempts=3, jitter=0)
    assert [schedule.delay(n) for n in (1, 2, 3, 4)] == [0.2, 0.4, None, None]


def test_replicas_with_other_seeds_do_not_knock_in_step() -> None:
    assert len({FOREVER.delay(3, f"replica {n}") for n in range(20)}) == 20


def test_a_schedule_without_end_never_ends() -> None:
    assert FOREVER.delay(10**6) is not None


@pytest.mark.parametrize("wrong", [{"first_s": 0}, {"factor": 0.5}, {"limit_s": 0}, {"jitter": 2}])
def test_a_schedule_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retry schedule"):
        RetrySchedule(**wrong)  # type: ignore[arg-type]


def test_failures_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        FOREVER.delay(0)
