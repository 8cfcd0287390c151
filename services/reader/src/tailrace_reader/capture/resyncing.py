"""The capture's answers to orders to load tables anew: it stands still until the record says what has become of its offer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from tailrace_reader.capture.growing import Grown, plan_grown
from tailrace_reader.capture.revising import NothingPlanned, Reviser
from tailrace_reader.capture.tables import described
from tailrace_reader.snapshot import HeldSnapshot, SourceServer
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.messages import ColumnsAppeared, Failure, ResyncFailed, ResyncPlanned, ResyncProgress
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.resync import ResyncOrder
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans

if TYPE_CHECKING:
    from tailrace_reader.capture.worker import Capture

OUTCOME_S = 120.0
"""A run that nobody leads accepts nothing, and the source's WAL grows: then the capture goes on. Should the offer be accepted after
that, writers see records behind it that were made without it, and the tables are loaded once more."""
ASKED_S = 30.0
"""A run that nobody leads does not answer a question for new columns: then the table is loaded anew, later."""
LOOK_S = 0.05

log = structlog.get_logger()


class Revising:
    """Orders that were answered, and the snapshot of the last offer until the reader takes it."""

    def __init__(self, context: ServiceContext, source: SourceServer, namespace: str, plan: Plan) -> None:
        self._context = context
        self._reviser = Reviser(context, source, namespace)
        self._plans = Plans(context.kafka, namespace)
        self._run, self._attempt = plan.run, plan.attempt
        self._answered = 0
        """Number of the last order that was."""
        self._offered: tuple[int, str, HeldSnapshot] | None = None
        """Number, digest of the plan, and the snapshot that it was made in."""
        self._since = 0.0
        """When the last order was taken up."""
        self._grown: Grown | None = None
        """Columns that the capture stands at."""

    def due(self, capture: Capture) -> bool:
        """Whether there is an order to answer, or another plan to go by."""
        record = capture.record
        order = record.resync
        asked = order is not None and not order.loading and (order.number > self._answered or self._waits(order))
        return asked or bool(record.revision and record.revision != capture.digest)

    async def grow(self, capture: Capture, grown: Grown, check: Callable[[], None]) -> bool:
        """Ask for a plan that has the table's new columns, and stand until there is one. False where the table has to be loaded
        anew instead. The capture stands between two transactions, or at the table's new description in one."""
        asked = await self._asked_already(capture, grown, check)
        if not self._may_grow(capture, grown.table, asked=asked):
            return False
        self._grown = grown
        known = {c.name for c in described(capture.plan.table(grown.table)).columns}
        await self._context.control.fact(
            ColumnsAppeared(
                run=self._run,
                attempt=self._attempt,
                table=grown.table,
                plan=capture.digest,
                columns=tuple(name for name in grown.columns if name not in known),
            )
        )
        crash_point("reader.after-columns-appeared")
        try:
            return await self._stand(capture, grown, check)
        finally:
            self._grown = None
            self._since = 0.0

    async def _asked_already(self, capture: Capture, grown: Grown, check: Callable[[], None]) -> bool:
        """Whether an order asks for these columns, as a capture that has been taken over from may have had it. Any other that was
        answered is waited for until the record says what has become of it, and one for columns that nobody stands at is refused."""
        until = time.monotonic() + ASKED_S
        while time.monotonic() < until:
            order = capture.record.resync
            if order is None or order.loading:
                return False
            if order.number > self._answered:
                asked = ResyncOrder.decode(await self._plans.document(self._run, order.order))
                if not asked.in_place:
                    return False
                if asked.plan == capture.digest and [t.number for t in asked.tables] == [grown.table]:
                    return True
                self._answered = order.number
                await self._refuse(
                    order, TransientError("resync.outdated", "the capture does not stand at these columns")
                )
            capture.turn()
            check()
            await asyncio.sleep(LOOK_S)
        return False

    async def _stand(self, capture: Capture, grown: Grown, check: Callable[[], None]) -> bool:
        until, number = time.monotonic() + ASKED_S, 0
        while time.monotonic() < until:
            capture.turn()
            check()
            record = capture.record
            if record.revision and record.revision != capture.digest:
                plan = await capture.lineage.of(record.revision)
                if plan is not None and plan.revision > capture.plan.revision:
                    return described(plan.table(grown.table)) == grown.relation
            order = record.resync
            if number and (order is None or order.number != number):
                return False  # it was not accepted
            if order is not None and order.number > self._answered:
                if order.loading or not await self._asks_for(order, grown):
                    return False
                if not await self._answer(capture, order, grown.at):
                    return False
                number, until = order.number, time.monotonic() + OUTCOME_S
            elif not number and not self._may_grow(capture, grown.table, asked=True):
                return False
            await asyncio.sleep(LOOK_S)
        return False

    async def _asks_for(self, order: ResyncProgress, grown: Grown) -> bool:
        asked = ResyncOrder.decode(await self._plans.document(self._run, order.order))
        return asked.in_place and [t.number for t in asked.tables] == [grown.table]

    def _may_grow(self, capture: Capture, table: int, *, asked: bool = False) -> bool:
        """Somebody would answer: the run streams, and the table follows."""
        record = capture.record
        state = next((t.state for t in record.tables if t.table == table), "waiting")
        free = asked or record.resync is None
        return free and record.state in ("streaming", "paused") and state == "loaded" and not record.stop_requested

    def take(self, number: int, digest: str) -> HeldSnapshot | None:
        """The snapshot of that offer, handed over; None where the one that was accepted is not ours. Any other is let go."""
        offered, self._offered = self._offered, None
        if offered is None:
            return None
        if offered[:2] == (number, digest):
            return offered[2]
        offered[2].release()
        return None

    def forget(self) -> None:
        """Let the last offer's snapshot go."""
        self.take(0, "")

    async def answer(self, capture: Capture, since: int, check: Callable[[], None]) -> None:
        """Answer the order in the capture's record, if there is one, and wait for the outcome. ``since``: where the lane ends."""
        order = capture.record.resync
        if order is None or order.loading:
            return
        if order.number > self._answered and not await self._answer(capture, order, since):
            return
        while self._waits(order) and self._open(capture, order):
            capture.turn()
            check()  # where this fails, the next session of the capture waits on
            await asyncio.sleep(LOOK_S)
        self._since = 0.0

    def _waits(self, order: ResyncProgress) -> bool:
        """An offer of ours is out, and its outcome is waited for."""
        mine = self._offered is not None and self._offered[0] == order.number == self._answered
        return mine and time.monotonic() - self._since < OUTCOME_S

    async def _answer(self, capture: Capture, order: ResyncProgress, since: int) -> bool:
        """Make an offer and tell it; False where none could be made, which is told as well."""
        self._answered, self._since = order.number, time.monotonic()
        try:
            asked = ResyncOrder.decode(await self._plans.document(self._run, order.order))
            if asked.plan != capture.digest:
                raise TransientError("resync.outdated", "this capture goes by another plan than the one to be revised")
            if asked.in_place:
                return await self._offer_grown(capture, order, asked)
            offer = await self._reviser.offer(asked, capture.plan, since, capture.turn)
        except TailraceError as error:
            log.warning("resync.refused", run=self._run, number=order.number, code=error.code, message=error.message)
            await self._refuse(order, error)
            return False
        self.forget()
        self._offered = (order.number, offer.digest, offer.holder)
        crash_point("reader.before-resync-offer")
        await self._offer(order, offer.digest, offer.holder.id, offer.made.tables, offer.made.refused)
        crash_point("reader.after-resync-offer")
        log.info("resync.offered", run=self._run, number=order.number, seconds=round(time.monotonic() - self._since, 3))
        return True

    async def _offer_grown(self, capture: Capture, order: ResyncProgress, asked: ResyncOrder) -> bool:
        """Nothing is loaded, so there is no snapshot to hold. Raises TailraceError."""
        grown = self._grown
        if grown is None or [t.number for t in asked.tables] != [grown.table]:
            raise TransientError("resync.outdated", "the capture does not stand at these columns any more")
        plan = await plan_grown(self._reviser, asked, capture.plan, grown)
        capture.turn()
        digest = await self._reviser.publish(plan)
        crash_point("reader.before-columns-offer")
        await self._offer(order, digest, "", (grown.table,), {})
        crash_point("reader.after-columns-offer")
        log.info("columns.offered", run=self._run, number=order.number, table=grown.table)
        return True

    @staticmethod
    def _open(capture: Capture, order: ResyncProgress) -> bool:
        """Nothing is known of the offer yet."""
        now = capture.record.resync
        return now is not None and now.number == order.number and not now.loading

    async def _offer(
        self,
        order: ResyncProgress,
        digest: str,
        snapshot: str,
        tables: tuple[int, ...],
        refused: Mapping[int, str],
    ) -> None:
        await self._context.control.fact(
            ResyncPlanned(
                run=self._run,
                attempt=self._attempt,
                number=order.number,
                replica=self._context.replica,
                digest=digest,
                snapshot=snapshot,
                tables=tables,
                refused=dict(refused),
            )
        )

    async def _refuse(self, order: ResyncProgress, error: TailraceError) -> None:
        await self._context.control.fact(
            ResyncFailed(
                run=self._run,
                attempt=self._attempt,
                number=order.number,
                service="reader",
                replica=self._context.replica,
                failure=Failure(code=error.code, message=error.message, remedy=error.remedy),
                passing=isinstance(error, TransientError),
                refused=error.refused if isinstance(error, NothingPlanned) else {},
            )
        )
