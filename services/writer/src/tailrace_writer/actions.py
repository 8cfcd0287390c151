"""Carrying out decisions. Each action proves its seat in the database, may be interrupted anywhere and done again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tailrace_shared import topics
from tailrace_shared.catalogue.ground import with_ground
from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check, Failure, PlanTask, ReadPool, State
from tailrace_shared.plan.growth import growth_of
from tailrace_shared.plan.model import Fingerprints, Plan
from tailrace_shared.plan.resync import OrderedTable, ResyncOrder
from tailrace_shared.postgres import translated
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans
from tailrace_shared.types import qualified
from tailrace_shared.verify.canaries import resolve_canaries
from tailrace_writer import append, ending, leaks, prepare, resync, saved_models, undo
from tailrace_writer import verify as verification
from tailrace_writer.cleanup import delete_topics
from tailrace_writer.comparison.lead import Comparing
from tailrace_writer.destinations import Destination
from tailrace_writer.lane.growing import apply_rest
from tailrace_writer.lane.laying import ABSENT
from tailrace_writer.leader_lock import LeaderLock
from tailrace_writer.rebuild import rebuild
from tailrace_writer.sequences import set_sequences
from tailrace_writer.settings import Settings
from tailrace_writer.sizes import grouped, table_bytes
from tailrace_writer.state import decisions as do
from tailrace_writer.state import learning, moves, pools
from tailrace_writer.state.moves import Seat
from tailrace_writer.state.read import Picture
from tailrace_writer.state.view import RangeKey
from tailrace_writer.terminate import terminate_stale
from tailrace_writer.work import WorkTopic, read_ranges, sample_ranges

_MOVING = frozenset({"postgres.internal", "postgres.unknown-table", "postgres.unknown-column", "postgres.error"})
"""What PostgreSQL says of an index or table that was dropped while its catalogue was read."""
_CATALOGUE_TRIES = 5
_CATALOGUE_WAIT_S = 1.0


_GRACE = 4
"""Times that a leader takes to be stale: one to be silent, one of watching, and the rest for ending what is abandoned."""


_LOOKING = "catalogue_at = coalesce(catalogue_at, clock_timestamp())"
"""Before the first look of the attempt: of several plans, the first to come back counts. See ``prepare.Outdated``."""


class Hindered(TransientError):
    """The run waits for something that it does not decide itself; the message says for what."""

    def __init__(self, what: str) -> None:
        super().__init__("run.hindered", what)


class Actions:
    """What a leader can do for one run."""

    def __init__(
        self,
        context: ServiceContext,
        settings: Settings,
        destination: Destination,
        plans: Plans,
        lock: LeaderLock,
        job: Job,
    ) -> None:
        self._context = context
        self._settings = settings
        self._destination = destination
        self._plans = plans
        self._lock = lock
        self._silent_since: float | None = None
        self._work = WorkTopic(context.kafka, settings.namespace, lock.run, job.limits.message_bytes)
        self.comparing = Comparing(plans, self._work)

    async def close(self) -> None:
        """Disconnect from Kafka."""
        await self._work.close()

    async def short(self, decision: do.Decision, picture: Picture, connection: asyncpg.Connection) -> None:
        """Decisions of the leader's own loop: a statement or a few messages each."""
        seat = self._lock.seat(picture.view.attempt)
        with translated():
            match decision:
                case do.Move(source, target):
                    await self._lock.use(lambda c: moves.move(c, seat, source, target))
                case do.Release(keys):
                    await moves.release(connection, seat, keys)
                    await self._send(connection, seat, keys, picture)
                case do.Send(keys):
                    await self._send(connection, seat, keys, picture)
                case do.ReadSample(table, ranges):
                    plan = await self._plans.fetch(seat.run, picture.view.digest)
                    await self._work.send(sample_ranges(plan, seat, table, ranges))
                    await learning.note_sent(connection, seat, table, ranges)
                case do.ReadPools(tables):
                    await self._work.send(
                        [ReadPool(run=seat.run, attempt=seat.attempt, table=table) for table in tables]
                    )
                    await pools.note_asked(connection, seat, tables)
                case do.Teach(table, trainer):
                    await learning.teach(connection, seat, table, trainer)
                case do.MarkDone(keys):
                    await moves.mark_done(connection, seat, keys)
                case do.CompleteTables(numbers):
                    await moves.complete_tables(connection, seat, numbers)
                case do.Fail(code, message, remedy):
                    await self.fail(seat, Failure(code=code, message=message, remedy=remedy))

    async def long(self, decision: do.Decision, picture: Picture) -> None:
        """Decisions that take their time, with a session of their own. Raises mapped errors."""
        seat, view = self._lock.seat(picture.view.attempt), picture.view
        patience = self._settings.lock_timeout_s
        match decision:
            case do.Plan():
                await self._plan(seat, picture)
            case do.Claim():
                plan = await self._plans.fetch(seat.run, view.digest)
                async with self._session() as connection:
                    try:
                        await prepare.claim(connection, seat, plan)
                    except prepare.Outdated as error:
                        self._context.log.info("plan.outdated", run=seat.run, ended=error.other)
                        await undo.restart(connection, seat, "planned", patience, empty=False)
            case do.Prepare():
                plan = await self._plans.fetch(seat.run, view.digest)
                async with self._session() as connection:
                    await prepare.prepare(connection, seat, plan, patience)
            case do.KeepModel(table, digest):
                plan = await self._plans.fetch(seat.run, view.digest)
                async with self._session() as connection:
                    await saved_models.keep(
                        connection,
                        self._context.kafka,
                        self._settings.namespace,
                        seat,
                        plan,
                        table,
                        digest,
                        picture.job,
                    )
            case do.EndLoading():
                crash_point("leader.before-finishing")
                async with self._session() as connection:
                    await _end_loading(connection, seat, patience)
            case do.EndStream(source):
                await self._lock.use(
                    lambda c: moves.move(c, seat, source, "stopping", "outcome = 'stopped', failure = NULL")
                )
            case do.OrderResync(numbers, in_place):
                await self._order_resync(seat, picture, numbers, in_place=in_place)
            case do.BeginResync(number):
                await self._begin_resync(seat, picture, number)
            case do.EndResync(number):
                async with self._session() as connection:
                    await resync.end(connection, seat, number, patience)
            case do.AbandonResync(number, why):
                self._context.log.warning("resync.abandoned", run=seat.run, number=number, why=why)
                async with self._session() as connection:
                    if picture.row["resync_in_place"]:
                        await resync.let_go(connection, seat)
                    else:
                        await resync.abandon(connection, seat, number, why, patience)
            case do.Settle():
                await self._settle(seat, await self._plans.fetch(seat.run, picture.plan))
            case do.Finish():
                await self._finish(seat, await self._plans.fetch(seat.run, view.digest))
            case do.Verify():
                await self._verify(seat, await self._plans.fetch(seat.run, picture.plan))
            case do.AskLeaks(columns):
                plan = await self._plans.fetch(seat.run, picture.plan)
                async with self._session() as connection:
                    await self._ask(connection, seat, plan, frozenset(columns))
            case do.Judge():
                await self._judge(seat, await self._plans.fetch(seat.run, picture.plan), picture)
            case do.Stop(outcome):
                async with self._session() as connection:
                    await ending.stop(
                        connection, seat, view.state, outcome, patience, empty=view.prepared and not view.keeps
                    )
            case do.Restart():
                async with self._session() as connection:
                    await undo.restart(connection, seat, view.state, patience, empty=view.prepared)
            case do.Rebuild():
                await self._rebuild(seat, tolerant=view.state == "stopping")
            case do.Conclude(outcome):
                async with self._session() as connection:
                    await ending.conclude(connection, seat, outcome)
            case do.CleanUp():
                await self._clean_up(seat)

    async def fail(self, seat: Seat, failure: Failure) -> None:
        """Record why the run fails; the next decision stops it."""
        await self._lock.use(lambda c: moves.fail(c, seat, failure))

    # --- loading -----------------------------------------------------------------------------------------------------

    async def _send(
        self, connection: asyncpg.Connection, seat: Seat, keys: tuple[RangeKey, ...], picture: Picture
    ) -> None:
        events: dict[int, int] = {}
        if picture.view.models:
            plan = await self._plans.fetch(seat.run, picture.view.digest)
            events = {table.number: table.events_of for table in plan.tables if table.events_of is not None}
        await self._work.send(await read_ranges(connection, seat, keys, events))
        await moves.mark_sent(connection, seat, keys)

    # --- planning ----------------------------------------------------------------------------------------------------

    async def _plan(self, seat: Seat, picture: Picture) -> None:
        job = picture.job
        resolve_canaries(job.verify.canaries)  # what is missing is said before anything is read or loaded
        async with self._session() as connection:
            await saved_models.require(connection, job)
        await self._let_others_end(seat, job)
        # Before any member joins: the planning reader publishes the plan there, members subscribe from planned on.
        async with self._context.kafka.admin() as admin:
            settings = topics.run_settings(job.limits.message_bytes)
            await admin.create_topics(
                {
                    topics.of_run(self._settings.namespace, seat.run, topic): (
                        1 if topic in topics.SINGLE else job.limits.partitions,
                        settings,
                    )
                    for topic in topics.topics_of(continuous=job.mode == "continuous")
                }
            )
        prints = next((r for r in picture.live if r["service"] == "generator" and r["fingerprints"]), None)
        if prints is None:
            raise TransientError("plan.generator", "no generator replica has told its fingerprints")
        await self._lock.use(lambda c: moves.amend(c, seat, _LOOKING))
        catalogue = await self._catalogue(job)
        await self._context.control.task(
            PlanTask(
                run=seat.run,
                attempt=seat.attempt,
                job=job,
                destination=catalogue,
                fingerprints=Fingerprints.model_validate_json(prints["fingerprints"]),
                before=picture.row["plan_before"] if job.mode == "continuous" else "",
            )
        )
        await self._lock.use(lambda c: moves.amend(c, seat, "tasked_at = clock_timestamp()"))

    async def _let_others_end(self, seat: Seat, job: Job) -> None:
        """Raise Hindered while a run that is ending has the job's tables. One that nobody leads may come back, or is found
        abandoned; where neither happens in time, its claim refuses this run and names it."""
        settings = self._settings
        async with self._session() as connection:
            other = await prepare.ending_elsewhere(connection, seat.run, job.schemas, settings.stale_s)
        if other is None:
            return
        run, silent = other
        if not silent:
            raise Hindered(f"run {run}, which is ending")
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since < settings.abandoned_s + _GRACE * settings.stale_s:
            raise Hindered(f"run {run}, which nobody leads")

    async def _catalogue(self, job: Job) -> Catalogue:
        """The destination's structure. Another run may be dropping and rebuilding things in it at this very moment, and then
        PostgreSQL stumbles over what has just gone: that passes."""
        for left in reversed(range(_CATALOGUE_TRIES)):
            try:
                async with self._session() as connection:
                    found = await read_catalogue(connection, job.schemas, ask_rows=True)
                    return await with_ground(connection, found) if job.destination.mode == "create" else found
            except TerminalError as error:
                if left == 0 or error.code not in _MOVING:
                    raise
                self._context.log.info("catalogue.again", run=self._lock.run, code=error.code)
                await asyncio.sleep(_CATALOGUE_WAIT_S)
        raise AssertionError("unreachable")

    # --- tables that are loaded anew ---------------------------------------------------------------------------------

    async def _order_resync(self, seat: Seat, picture: Picture, numbers: tuple[int, ...], *, in_place: bool) -> None:
        """The reader that captures reads the order from the plan topic; the record tells it that there is one."""
        async with self._session() as connection:
            tables = await resync.ordered(connection, seat, numbers)
        order = ResyncOrder(
            run=seat.run,
            attempt=seat.attempt,
            number=picture.row["resync_no"] + 1,
            plan=picture.plan,
            tables=tuple(
                OrderedTable(number=number, name=TableName(schema_name=schema, name=name))
                for number, schema, name in tables
            ),
            job=picture.job,
            destination=await self._catalogue(picture.job),
            in_place=in_place,
        )
        namespace = self._settings.namespace
        await resync.publish_order(self._context.kafka, namespace, order, picture.job.limits.message_bytes)
        async with self._session() as connection:
            await resync.note_order(connection, seat, order)
        self._context.log.info(
            "resync.ordered",
            run=seat.run,
            number=order.number,
            tables=[str(t.name) for t in order.tables],
            in_place=in_place,
        )

    async def _begin_resync(self, seat: Seat, picture: Picture, number: int) -> None:
        """Accept the offer; where the destination does not take it, that is why the tables stay in quarantine."""
        digest = picture.row["resync_plan"]
        plan = await self._plans.fetch(seat.run, digest)
        try:
            async with self._session() as connection:
                if (growth := growth_of(plan)) is not None:
                    await resync.grow(connection, seat, plan, digest, growth[0])
                else:
                    await resync.begin(connection, seat, plan, digest, self._settings.lock_timeout_s)
        except TerminalError as error:
            why, late = f"{error.message.rstrip('.')}. {error.remedy}".strip(), error.code == "resync.late"
            async with self._session() as connection:
                if picture.row["resync_in_place"]:
                    return await resync.let_go(connection, seat)
                patience = self._settings.lock_timeout_s
                await resync.abandon(connection, seat, number, why, patience, refused_it=not late)

    # --- finishing and verifying -------------------------------------------------------------------------------------

    async def _finish(self, seat: Seat, plan: Plan) -> None:
        if plan.mode == "append":
            async with self._session() as connection:
                await append.finish(connection, seat, plan, self._settings.lock_timeout_s)
            return
        follow = plan.continuous
        await self._rebuild(seat, tolerant=False, without=frozenset() if follow is None else ABSENT[follow.apply])
        async with self._session() as connection:
            async with self._still(connection, seat, "finishing"):
                await set_sequences(connection, plan)
            await self._analyze(connection, seat, plan, "finishing")
        target: State = "verifying" if follow is None else "streaming"
        await self._lock.use(lambda c: moves.move(c, seat, "finishing", target))

    async def _settle(self, seat: Seat, plan: Plan) -> None:
        """A continuous run's good end. Its sequences stay where they are, since the environment may have used them, unless the
        source's keys have grown past them."""
        async with self._session() as connection:
            async with self._still(connection, seat, "stopping"):
                await apply_rest(connection, seat.run, seat.attempt, plan)
                await set_sequences(connection, plan, behind=True)
            await self._analyze(connection, seat, plan, "stopping")
        await self._lock.use(lambda c: moves.move(c, seat, "stopping", "verifying"))

    async def _analyze(self, connection: asyncpg.Connection, seat: Seat, plan: Plan, state: State) -> None:
        tables = [table.name for table in plan.tables]
        with translated():
            sizes = dict(zip(tables, await table_bytes(connection, tables), strict=True))
        for some in grouped(tables, lambda table: sizes[table]):
            async with self._still(connection, seat, state):
                await connection.execute(f"ANALYZE {', '.join(qualified(t.schema_name, t.name) for t in some)}")

    @asynccontextmanager
    async def _still(self, connection: asyncpg.Connection, seat: Seat, state: State) -> AsyncIterator[None]:
        """A transaction in which the run is seen to be this leader's still, and which waits for no lock for ever."""
        with translated():
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {int(self._settings.lock_timeout_s * 1000)}")
                await moves.require(connection, seat, state)
                yield

    async def _rebuild(self, seat: Seat, *, tolerant: bool, without: frozenset[str] = frozenset()) -> None:
        await rebuild(
            self._destination,
            seat,
            parallel=self._settings.index_builds,
            lock_timeout_s=self._settings.lock_timeout_s,
            tolerant=tolerant,
            without=without,
        )

    async def _verify(self, seat: Seat, plan: Plan) -> None:
        async with self._session() as connection:
            checks = await verification.verify(connection, seat, plan)
            checks += await self._ask(connection, seat, plan, None)
        said = moves.as_json([check.model_dump() for check in checks])
        await self._lock.use(lambda c: moves.amend(c, seat, "checks = $4, verified_at = clock_timestamp()", said))

    async def _ask(
        self, connection: asyncpg.Connection, seat: Seat, plan: Plan, columns: frozenset[tuple[int, str]] | None
    ) -> list[Check]:
        """Put the questions; the checks of columns that there is nothing to ask about."""
        settled: list[Check] = []
        async for asked in leaks.questions(connection, seat, await resync.following(connection, seat, plan), columns):
            if isinstance(asked, Check):
                settled.append(asked)
                continue
            await leaks.note_question(connection, seat, asked)  # first: an answer must find its rows
            await self._work.send([leaks.message(seat, asked)])
        return settled

    async def _judge(self, seat: Seat, plan: Plan, picture: Picture) -> None:
        checks = [Check.model_validate(check) for check in json.loads(picture.row["checks"])]
        async with self._session() as connection:
            checks += await verification.leak_checks(connection, seat, plan)
            said = moves.as_json([check.model_dump() for check in checks])
            wrong = [check for check in checks if not check.passed]
            if not wrong and plan.mode == "append":
                await append.move_and_conclude(connection, seat, plan, checks, self._settings.lock_timeout_s)
                return
            if not wrong:
                await undo.conclude(connection, seat, "verifying", "done", "checks = $6", said)
                crash_point("leader.after-ledger-gone")
                return
            failure = _found(plan, wrong)
            with translated():
                await moves.amend(
                    connection, seat, "checks = $4, failure = coalesce(failure, $5)", said, failure.model_dump_json()
                )

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _clean_up(self, seat: Seat) -> None:
        left = await delete_topics(
            self._context.kafka, self._settings.namespace, seat.run, wait_s=self._settings.leave_s
        )
        if left:
            self._context.log.warning("topics.deleted-with-members", run=seat.run, members=left)
        async with self._session() as connection:
            with translated():
                await moves.forget(connection, seat.run, replicas=True)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncpg.Connection]:
        """A session of its own; sessions of stopped replicas that it waited for in vain are ended."""
        connection = await self._destination.connect()
        try:
            yield connection
        except TransientError as error:
            if error.code == "postgres.lock":
                helper = await self._destination.connect()
                try:
                    await terminate_stale(helper, self._settings.stale_s)
                finally:
                    helper.terminate()
            raise
        finally:
            connection.terminate()


async def _end_loading(connection: asyncpg.Connection, seat: Seat, lock_timeout_s: float) -> None:
    with translated():
        async with connection.transaction():
            await moves.close_fence(connection, seat.run, lock_timeout_s)
            await moves.move(connection, seat, "loading", "finishing")


def _found(plan: Plan, wrong: list[Check]) -> Failure:
    """What a verification has found. What must not be in the destination is taken back; a run that has followed its source keeps
    the rest for its users to look at."""
    said = "verification failed: " + "; ".join(f"{c.name}: {c.detail}" for c in wrong[:5])
    if any(c.name.startswith(("leak ", "canaries ")) for c in wrong):
        taken = "nothing was added" if plan.mode == "append" else "what was loaded is truncated"
        return Failure(code="verify.leak", message=said, remedy=f"Give the column another generator; {taken}.")
    left = "what was loaded is truncated" if plan.continuous is None else "what was loaded stays"
    taken = "nothing was added" if plan.mode == "append" else left
    return Failure(code="verify.failed", message=said, remedy=f"The report lists all checks; {taken}.")
