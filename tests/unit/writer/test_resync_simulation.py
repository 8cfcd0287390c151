"""A thousand interleavings of a stream with tables that are loaded anew in it."""

from __future__ import annotations

from collections import Counter

import pytest

from support.resync_world import TABLES, World


@pytest.mark.parametrize("block", range(20))
def test_tables_end_equal_to_their_source_whoever_dies_and_whatever_comes_late(block: int) -> None:
    loads = 0
    for seed in range(block * 50, block * 50 + 50):
        world = World(seed).run()
        assert world._quiet(), (seed, world.resync, {n: t.state for n, t in world.tables.items()})
        for number in TABLES:
            wanted = Counter(c.lsn for c in world.log if c.table == number)
            assert world.tables[number].rows == wanted, (seed, number)
        loads += world.loads
    assert loads > 50
