"""A term of office: look, decide, act, publish, until the run is over or the lead is lost.

Whoever stops leading leaves nothing that the next leader needs to know: everything is in the tables.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.messages import TERMINAL_STATES, ReplicaLost
from tailrace_shared.plan.protection import protection_of
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_shared.service.learning_metrics import MODEL_STATES
from tailrace_shared.service.metrics import STATES
from tailrace_writer.actions import Actions, Hindered
from tailrace_writer.beats import Arrivals, Beats
from tailrace_writer.cleanup import delete_consumed, delete_followed
from tailrace_writer.lane.lag import Lag
from tailrace_writer.lane.replay import ReplayWindow
from tailrace_writer.leader_lock import USE_S, LeaderLock
from tailrace_writer.losses import Losses
from tailrace_writer.member import failure_of
from tailrace_writer.publish import progress_of, record_of_row
from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import Patience, decide
from tailrace_writer.state.moves import Deposed
from tailrace_writer.state.read import KnownJob, Picture, read_picture

if TYPE_CHECKING:
    from tailrace_writer.leader import Office

_RETRY = RetrySchedule(first_s=0.3, limit_s=5.0, attempts=None)
_IDLE_TICKS = 3
"""Where a run waits for somebody, three times the tick is soon enough."""
_LEAK_SLACK_S = 30.0
"""What a leak question and its answer may be under way."""
_PUBLISHED_BYTES_PER_S = 256 << 10
"""Every replica reads and validates every record, and a record carries the job and a line per table: where that is much, counts are
told less often."""
_PATIENT_TRIES = 2
"""Transient errors in a row that nobody need hear of."""
_TELLING = (do.Move, do.MarkDone, do.CompleteTables, do.Fail)
"""Short decisions after which there is something else to decide: ranges to release, a table or the loading to end."""
_FLOWING = frozenset({"loading", "finishing", "streaming", "paused", "stopping", "verifying"})
"""States in which something is on the run's topics that may have been consumed."""
_PROMPT = (
    "state",
    "attempt",
    "digest",
    "revision",
    "resync_no",
    "resync_state",
    "cancel_requested",
    "failure",
    "checks",
    "problems",
)
"""Columns of the run's row whose change is published at once. Counts wait their turn."""


class Term:
    """One term of one leader."""

    def __init__(self, office: Office, lock: LeaderLock) -> None:
        self._office = office
        self._settings = office.settings
        self._lock = lock
        self._log = structlog.get_logger().bind(run=office.run, epoch=lock.epoch)
        self._beats = Beats(office.settings.stale_s)
        self._arrivals = Arrivals()
        self._known = KnownJob()
        self._lag = Lag()
        self._losses = Losses(office.settings.stale_s)
        self._counted = ""
        """Digest of the plan whose columns are counted in the record."""
        self._window: ReplayWindow | None = None
        self._over = False
        self._patience = Patience(
            plan_s=office.settings.replan_s,
            range_s=office.settings.rerelease_s,
            leak_s=office.settings.leak_timeout_s + _LEAK_SLACK_S,
        )
        self._actions: Actions | None = None
        self._task: asyncio.Task[None] | None = None
        self._doing: do.Decision | None = None
        self._decided: list[do.Decision] = []
        self._failures = 0
        self._not_before = 0.0
        self._hindrance = ""
        self._published: tuple[Any, ...] | None = None
        self._published_at = 0.0
        self._progress: dict[str, Any] = {}
        self._housekeeping: asyncio.Task[None] | None = None
        self._housekept_at = time.monotonic()

    async def govern(self) -> bool:
        """Lead until the run is over (True) or the lead is lost (False). Raises mapped errors of the database."""
        connection = await self._office.destination.connect()
        try:
            while not self._lock.lost.is_set():
                picture = await self._look(connection)
                crash_point(f"leader.in-{picture.view.state}")
                decided = decide(picture.view, picture.now, self._patience)
                changed = await self._act(decided, picture, connection)
                await self._compare(picture, connection)
                await self._publish(decided, picture)
                if self._over:
                    return True
                self._keep_house(picture)
                if not changed:
                    await self._pause(picture, decided)
            return False
        except DRIVER_ERRORS as error:
            raise map_error(error) from None
        finally:
            await self._leave(connection)

    async def _look(self, connection: asyncpg.Connection) -> Picture:
        run, runs = self._office.run, self._office.runs
        active = runs.active(run, self._settings.max_active_runs)
        async with asyncio.timeout(USE_S):
            picture = await read_picture(
                connection,
                run,
                active=active,
                stale_s=self._settings.stale_s,
                settled=self._beats.settled,
                known=self._known,
            )
        if picture.view.epoch != self._lock.epoch:
            raise Deposed(run)
        if self._actions is None:
            office = self._office
            self._actions = Actions(
                office.context, office.settings, office.destination, office.plans, self._lock, picture.job
            )
            self._progress = json.loads(picture.row["progress"])
            told = (ReplicaLost(**loss) for loss in self._progress.get("lost", ()))
            self._losses = Losses(self._settings.stale_s, told)
        return self._with_arrivals(picture)

    def _with_arrivals(self, picture: Picture) -> Picture:
        view = picture.view
        under_way = tuple((r.key, r.read, r.ledger_bytes) for r in view.open if r.read or r.ledger_bytes)
        loaded = tuple((t["table_no"], t["rows_loaded"], t["loaded"]) for t in picture.tables)
        seen = (view.state, view.attempt, under_way, loaded, sum(leak.answered for leak in view.leaks))
        readers = frozenset(r["replica"] for r in picture.live if r["service"] == "reader" and r["refused"] is None)
        self._arrivals.look(picture.now, seen, readers, settled=view.settled)
        moved_at, deserted_at = self._arrivals.moved_at, self._arrivals.deserted_at
        return replace(picture, view=replace(view, moved_at=moved_at, deserted_at=deserted_at))

    # --- acting ------------------------------------------------------------------------------------------------------

    async def _act(self, decided: list[do.Decision], picture: Picture, connection: asyncpg.Connection) -> bool:
        """True when the next look is due at once, since what was done has changed the picture: a run takes a dozen steps, and
        a tick after each would be most of a small run's time. Never twice for the same decisions."""
        assert self._actions is not None
        first = decided[0]
        ended = await self._reap(picture)
        if ended is not None or self._over:  # the picture may be older than what was done
            return ended is True
        if self._task is not None:
            if not isinstance(first, do.Stop | do.Restart) or isinstance(self._doing, do.Stop | do.Restart):
                return False
            self._task.cancel()  # a cancellation does not wait for an index build
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            return True  # what it has done shows at the next look
        if time.monotonic() < self._not_before:
            return False
        if isinstance(first, do.LONG):
            self._doing = first
            self._task = asyncio.create_task(self._actions.long(first, picture), name=type(first).__name__)
            return False
        former, self._decided = self._decided, decided
        try:
            for decision in decided:
                await self._actions.short(decision, picture, connection)
        except TailraceError as error:
            await self._trouble(error, picture)
            return False
        self._failures, self._hindrance = 0, ""
        return decided != former and any(isinstance(decision, _TELLING) for decision in decided)

    async def _compare(self, picture: Picture, connection: asyncpg.Connection) -> None:
        """Bring a comparison on, if there is one; it is beside what the run decides."""
        assert self._actions is not None
        await self._actions.comparing.turn(connection, self._lock.seat(picture.view.attempt), picture)

    async def _reap(self, picture: Picture) -> bool | None:
        """Take note of how a long action has ended: whether it went well; None when none has ended."""
        if self._task is None or not self._task.done():
            return None
        task, self._task = self._task, None
        error = task.exception()
        if error is None:
            self._failures, self._hindrance = 0, ""
            self._over = isinstance(self._doing, do.CleanUp)
        else:
            await self._trouble(error, picture)
        return error is None

    async def _trouble(self, error: BaseException, picture: Picture) -> None:
        """Transient: again, later. Anything else: the run fails; one that is ending already goes on trying."""
        if isinstance(error, Deposed):
            return  # the next look says whether the lead or only the state has changed
        self._failures += 1
        self._not_before = time.monotonic() + (_RETRY.delay(self._failures, self._office.run) or 1.0)
        what = type(self._doing).__name__
        said = {"code": error.code, "message": error.message} if isinstance(error, TailraceError) else {}
        ending = picture.view.state in (*TERMINAL_STATES, "stopping") or isinstance(self._doing, do.Stop)
        if isinstance(error, TransientError) or ending:
            self._hindrance = hindrance_of(error, self._failures)
            self._log.warning("leader.again", action=what, **said, exc_info=None if said else error)
            return
        self._log.error("leader.failed", action=what, **said, exc_info=None if said else error)
        assert self._actions is not None
        await self._actions.fail(self._lock.seat(picture.view.attempt), failure_of(error))

    # --- publishing --------------------------------------------------------------------------------------------------

    async def _publish(self, decided: list[do.Decision], picture: Picture) -> None:
        """Raise the version and publish when something has changed; the topic follows the row."""
        wait = next((d for d in decided if isinstance(d, do.Wait)), None)
        waiting_for, queued = (wait.what or self._hindrance, wait.queued) if wait else (self._hindrance, False)
        lag_s = None if picture.lane is None else self._lag.look(picture.lane, picture.now)
        progress = progress_of(picture, self._progress, lag_s)
        progress |= await self._remarks(picture)
        if self._actions is not None and self._actions.comparing.published is not None:
            progress["comparison"] = self._actions.comparing.published
        prompt = (*(picture.row[name] for name in _PROMPT), queued, waiting_for)
        every_s = max(self._settings.progress_s, len(picture.row["job"]) / _PUBLISHED_BYTES_PER_S)
        due = time.monotonic() - self._published_at >= every_s
        if prompt == self._published and not (due and progress != self._progress):
            return
        row = await self._lock.use(
            lambda c: c.fetchrow(
                "UPDATE tailrace.run SET version = version + 1, progress = $3, queued = $4, waiting_for = $5 "
                "WHERE run = $1 AND epoch = $2 RETURNING *",
                self._office.run, self._lock.epoch, json.dumps(progress), queued, waiting_for,
            )
        )  # fmt: skip
        if row is None:
            raise Deposed(self._office.run)
        record = record_of_row(row, picture.job)
        await self._office.context.control.record(record)
        await self._office.runs.note(record)
        self._published = (*(row[name] for name in _PROMPT), queued, waiting_for)
        self._published_at, self._progress = time.monotonic(), progress
        self._measure(picture)

    async def _remarks(self, picture: Picture) -> dict[str, Any]:
        """What is said beside the counts: replicas that were lost, and what the plan makes of its columns."""
        if picture.view.state not in TERMINAL_STATES:
            for loss in self._losses.look(picture.now, picture.replicas, settled=picture.view.settled):
                self._log.warning("replica.lost", **loss.model_dump(mode="json"))
        said: dict[str, Any] = {"lost": [loss.model_dump(mode="json") for loss in self._losses.latest]}
        for name in ("protection", "unprotected"):
            if name in self._progress:
                said[name] = self._progress[name]
        if picture.plan and picture.plan != self._counted and picture.view.prepared:
            with suppress(TailraceError):  # said again at the next look
                counts = protection_of(await self._office.plans.fetch(self._office.run, picture.plan))
                said |= {"protection": counts.columns, "unprotected": counts.unprotected}
                self._counted = picture.plan
        return said

    def _measure(self, picture: Picture) -> None:
        metrics, run, view = self._office.context.metrics, self._office.run, picture.view
        if view.state in TERMINAL_STATES:  # its series go with the membership
            return
        for state in STATES:
            metrics.run_state.labels(run, state).set(state == view.state)
        metrics.leading.labels(run).set(1)
        metrics.credit.labels(run).set(view.credit_bytes)
        metrics.credit_used.labels(run).set(view.outstanding_bytes)
        metrics.rows_expected.labels(run).set(sum(max(0.0, t["estimated_rows"]) for t in picture.tables))
        told = [model["state"] for model in self._progress.get("models", ())]
        for of_model in MODEL_STATES if told else ():
            metrics.learning.models.labels(run, of_model).set(told.count(of_model))
        if picture.lane is not None:
            self._measure_lane(picture)

    def _measure_lane(self, picture: Picture) -> None:
        lane, run = self._office.context.metrics.lane, self._office.run
        for told in self._progress["lanes"]:
            lane.lag_seconds.labels(run, told["lane"]).set(told["lag_s"] or 0.0)
            lane.lag_bytes.labels(run, told["lane"]).set(told["lag_bytes"])
        assert lane.quarantined is not None
        lane.quarantined.labels(run).set(sum(t["state"] == "quarantined" for t in picture.tables))

    # --- in between --------------------------------------------------------------------------------------------------

    def _keep_house(self, picture: Picture) -> None:
        """Every few seconds, delete what the next stage has consumed."""
        if self._housekeeping is not None and not self._housekeeping.done():
            return
        due = time.monotonic() - self._housekept_at >= self._settings.housekeeping_s
        if picture.view.state in _FLOWING and due:
            self._housekept_at = time.monotonic()
            self._housekeeping = asyncio.create_task(
                self._delete_consumed(picture), name=f"housekeeping {self._office.run}"
            )
            self._housekeeping.add_done_callback(self._kept_house)

    def _kept_house(self, task: asyncio.Task[None]) -> None:
        """An error that it does not handle itself is a defect."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._office.context.fail(error)

    async def _delete_consumed(self, picture: Picture) -> None:
        try:
            run, kafka, namespace = self._office.run, self._office.context.kafka, self._settings.namespace
            behind = await delete_consumed(kafka, namespace, run)
            if picture.lane is not None:
                self._window = self._window or ReplayWindow(picture.job.continuous.replay_bytes)
                made = sum(r["bytes"] for r in picture.replicas if r["service"] == "generator")
                lane = await delete_followed(kafka, namespace, run, self._window, made, picture.lane["kafka_offset"])
                behind = {stage: records + lane.get(stage, 0) for stage, records in behind.items()}
            for stage, records in behind.items():
                self._office.context.metrics.lag.labels(run, stage).set(records)
        except TailraceError as error:
            self._log.warning("housekeeping.failed", code=error.code, message=error.message)

    async def _pause(self, picture: Picture, decided: list[do.Decision]) -> None:
        """Until the next look; a long action that ends, or a lost lead, cuts it short."""
        waiting: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._lock.lost.wait())}
        if self._task is not None:
            waiting.add(self._task)
        idle = picture.view.state != "loading" and picture.view.resync is None and isinstance(decided[0], do.Wait)
        tick = self._settings.tick_s * (_IDLE_TICKS if idle else 1)
        await asyncio.wait(waiting, timeout=tick, return_when=asyncio.FIRST_COMPLETED)
        for future in waiting - {self._task}:
            future.cancel()

    async def _leave(self, connection: asyncpg.Connection) -> None:
        tasks = [task for task in (self._task, self._housekeeping) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._actions is not None:
            with suppress(TailraceError):
                await self._actions.close()
        connection.terminate()
        await self._lock.close()
        metrics = self._office.context.metrics
        if self._office.run in {r.run for r in self._office.runs.unfinished()}:
            metrics.leading.labels(self._office.run).set(0)
            if self._progress.get("lanes"):
                metrics.lane.rest(self._office.run)
            for state in STATES:
                metrics.run_state.labels(self._office.run, state).set(0)


def hindrance_of(error: BaseException, failures: int) -> str:
    """What a run is said to wait for, from the error that its leader has met so many times in a row.

    What may pass is not said at once; what only somebody else can mend is.
    """
    if isinstance(error, Hindered):
        return error.message
    if isinstance(error, TransientError) and failures <= _PATIENT_TRIES:
        return ""
    failure = failure_of(error)
    return f"{failure.code}: {failure.message}"
