"""Comparisons under everything that change capture finds difficult: what follows is equal at every point that is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from e2e.test_live_comparison import compared
from support.databases import Pair
from support.followed import SCHEMA, Followed
from support.following import let_follow
from support.hammer import Hammer
from support.installation import Installation
from tailrace.embedded.runtime import Runtime

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
SEED = int(os.environ.get("TAILRACE_TEST_SEED", "1"))
COMPARISONS = int(os.environ.get("TAILRACE_TEST_COMPARISONS", "8"))
PAUSE_S = 0.3
"""A lane that stays behind for minutes makes every comparison wait for it."""


def test_a_destination_under_the_hammer_is_equal_at_every_point(
    runtime: Runtime, new_pair: Callable[..., Pair]
) -> None:
    pair = new_pair("hammeredlive", SCHEMA)
    let_follow(pair)
    with Installation(runtime, pair, canaries="canary-mail.test") as installation:
        followed = Followed(pair, installation)
        followed.reset()
        with Hammer(pair, SEED, pause_s=PAUSE_S):
            run = followed.submit()
            for _ in range(COMPARISONS):
                made = compared(installation, run, seconds=240)
                assert made.state == "done", made.why
                assert [(check.name, check.detail) for check in made.checks if not check.passed] == []
                assert made.left_out == ()
                assert made.checks
