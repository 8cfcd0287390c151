"""Whatever a source goes through, and however its lane is cut and repeated, the destination ends as the source is."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import asyncpg
import pytest
from pydantic import SecretStr

from support.databases import DATABASES, Pair
from support.followed_lane import FollowedLane
from support.hammer import Hammer
from support.short_lane import SLOT, ShortLane, end_of_source
from support.wholeness import seen_wrong
from tailrace_reader.capture.slots import drop_slot
from tailrace_reader.snapshot import SourceServer

SCHEMA = (DATABASES / "hammer.sql").read_text()
ROWS = (DATABASES / "hammer_rows.sql").read_text()
WITHOUT_KEYS = """
DO $$ DECLARE k record; BEGIN
  FOR k IN SELECT conrelid::regclass AS name, conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.name, k.conname);
  END LOOP;
END $$
"""
SEEDS = [1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 41))]


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    made = new_pair("short_lane", SCHEMA)
    made.destination.run_sql(WITHOUT_KEYS, made.name)
    return made


def emptied(pair: Pair) -> None:
    for side in ("source", "destination"):
        getattr(pair, side).run_sql(f"TRUNCATE {', '.join(pair.tables(side))}", pair.name)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_lane_cut_and_repeated_anyhow_leads_to_what_the_source_holds(
    pair: Pair, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION_URL", pair.destination.url(pair.name))
    await asyncio.to_thread(emptied, pair)
    dice = random.Random(seed)
    lane = await ShortLane.between(
        pair, SourceServer(SecretStr(pair.source.url(pair.name)), "tailrace/test", "SOURCE_URL"), dice
    )
    source = await asyncpg.connect(pair.source.url(pair.name))
    followed = await FollowedLane.laid_out(pair, lane.plan, lane.start, dice)
    try:
        await source.execute(ROWS)
        with Hammer(pair, seed, pause_s=0.002) as hammer:
            hammer.may_empty.set()
            until = time.monotonic() + 2
            while time.monotonic() < until:
                await lane.capture(await end_of_source(source))
                await followed.follow(lane.log)
                assert await asyncio.to_thread(seen_wrong, pair) == {}
        await lane.capture(await end_of_source(source))
        await followed.follow(lane.log)
        assert await asyncio.to_thread(pair.digest, "destination") == await asyncio.to_thread(pair.digest, "source"), (
            hammer.done
        )
    finally:
        await drop_slot(source, SLOT, 20)
        await source.execute(f"DROP PUBLICATION {SLOT}")
        await source.close()
