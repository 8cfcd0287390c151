"""What captures tell is taken at once, also while the lane's row is locked by a transaction that is being applied for minutes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from support.writing import ID_NAME, RUN, Database, plan, table
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.messages import CaptureSeen, LaneBroken, LaneEnded, SlotState, TableWaits
from tailrace_shared.plan.model import ContinuousPlan
from tailrace_writer.lane import rows
from tailrace_writer.lane.lag import Lag
from tailrace_writer.lane.laying import lane_progress, lay_out_lane
from tailrace_writer.lane.table_lag import TableLags
from tailrace_writer.state.facts import apply_fact
from tailrace_writer.state.read import read_picture

FOLLOW = ContinuousPlan(slot="s", publication="p", managed=True, apply="bare", system="7", timeline=1, start="0/10")
PLAN = plan(table(0, "t", ID_NAME), continuous=FOLLOW)
SLOT = SlotState(name="s", status="reserved", confirmed="0/10", retained_bytes=5, safe_bytes=None)


@pytest.fixture
async def connection(
    destination: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    database = Database(destination)
    database.create("CREATE TABLE t (id int PRIMARY KEY, name text)")
    monkeypatch.setenv("DESTINATION_URL", database.url)
    made = await database.destination().connect()
    seat = await database.submit(made)
    await made.execute("UPDATE tailrace.run SET state = 'streaming' WHERE run = $1", RUN)
    await lay_out_lane(made, seat, PLAN)
    owner = await database.destination().connect()
    await rows.open_lane(owner, RUN, 1, 0, lock_timeout_s=5, replica_role=False)
    await made.execute("SET lock_timeout = '1s'")
    yield made
    owner.terminate()
    await made.close()


def seen(tail: str, *, replica: str = "reader-1") -> CaptureSeen:
    return CaptureSeen(run=RUN, attempt=1, lane=0, replica=replica, slot=SLOT, tail=tail, source_end="0/99")


async def lane_of(connection: asyncpg.Connection) -> asyncpg.Record:
    picture = await read_picture(connection, RUN, active=True, stale_s=60, settled=lambda *_: True)
    assert picture is not None
    assert picture.lane is not None
    return picture.lane


async def test_the_newest_word_of_a_capture_counts(connection: asyncpg.Connection) -> None:
    await apply_fact(connection, seen("0/20"))
    await apply_fact(connection, seen("0/30", replica="reader-2"))
    await apply_fact(connection, seen("0/20"))
    lane = await lane_of(connection)
    assert Lag().look(lane, time.time()) is None
    told = lane_progress(lane, None)
    assert (told.capture, told.slot, told.lag_bytes) == ("reader-2", SLOT, 0x99 - 0x10)


async def test_what_waits_of_a_table_is_kept_until_the_capture_says_otherwise(connection: asyncpg.Connection) -> None:
    waits = TableWaits(table=0, since=datetime.fromtimestamp(50, UTC), behind="0/18", until="0/20")
    await apply_fact(connection, seen("0/20").model_copy(update={"waits": (waits,), "behind_s": 0.0}))
    lane = await lane_of(connection)
    assert TableLags(lane, 60.0).of(0, "loaded", None) == {"lag_s": 10.0, "lag_bytes": 0x99 - 0x18}
    assert TableLags(lane, 60.0).of(1, "loaded", None) == {"lag_s": 0.0, "lag_bytes": 0}
    await apply_fact(connection, seen("0/30"))
    lane = await lane_of(connection)
    assert TableLags(lane, 60.0).of(0, "loaded", None) == {"lag_s": 0.0, "lag_bytes": 0}


async def test_a_lane_that_is_told_broken_is_opened_no_more_and_its_first_reason_stays(
    connection: asyncpg.Connection,
) -> None:
    for why in ("first", "second"):
        await apply_fact(connection, LaneBroken(run=RUN, attempt=1, lane=0, replica="r", code="gap", why=why))
    assert (await lane_of(connection))["why"] == "first"
    with pytest.raises(rows.NotNow):
        await rows.open_lane(connection, RUN, 1, 0, lock_timeout_s=1, replica_role=False)


async def test_where_a_lane_ends_is_known_once(connection: asyncpg.Connection) -> None:
    for at in ("0/10", "0/50"):
        await apply_fact(connection, LaneEnded(run=RUN, attempt=1, lane=0, replica="r", at=at))
    lane = await lane_of(connection)
    assert (lane["ended_at"], lane["caught_up"]) == (0x10, True)


@pytest.mark.parametrize("fact", [seen("0/20"), LaneEnded(run=RUN, attempt=1, lane=0, replica="r", at="0/50")])
async def test_words_of_another_attempt_change_nothing(
    connection: asyncpg.Connection, fact: CaptureSeen | LaneEnded
) -> None:
    await apply_fact(connection, fact.model_copy(update={"attempt": 2}))
    lane = await lane_of(connection)
    assert (lane["replica"], lane["ended_at"]) == ("", None)
