"""The capture's answers to orders to load tables anew: it stands still until the record says what has become of its offer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from tailrace_reader.capture.revising import NothingPlanned, Offer, Reviser
from tailrace_reader.snapshot import HeldSnapshot, SourceServer
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.messages import Failure, ResyncFailed, ResyncPlanned, ResyncProgress
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.resync import ResyncOrder
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans

if TYPE_CHECKING:
    from tailrace_reader.capture.worker import Capture

OUTCOME_S = 120.0
"""A run that nobody leads accepts nothing, and the source's WAL grows: then the capture goes on. Should the offer be accepted after
that, writers see records behind it that were made without it, and the tables are loaded once more."""
LOOK_S = 0.1

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

    def due(self, capture: Capture) -> bool:
        """Whether there is an order to answer, or another plan to go by."""
        record = capture.record
        order = record.resync
        asked = order is not None and not order.loading and (order.number > self._answered or self._waits(order))
        return asked or bool(record.revision and record.revision != capture.digest)

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
            offer = await self._reviser.offer(asked, capture.plan, since, capture.turn)
        except TailraceError as error:
            log.warning("resync.refused", run=self._run, number=order.number, code=error.code, message=error.message)
            await self._refuse(order, error)
            return False
        self.forget()
        self._offered = (order.number, offer.digest, offer.holder)
        crash_point("reader.before-resync-offer")
        await self._offer(order, offer)
        crash_point("reader.after-resync-offer")
        log.info("resync.offered", run=self._run, number=order.number, seconds=round(time.monotonic() - self._since, 3))
        return True

    @staticmethod
    def _open(capture: Capture, order: ResyncProgress) -> bool:
        """Nothing is known of the offer yet."""
        now = capture.record.resync
        return now is not None and now.number == order.number and not now.loading

    async def _offer(self, order: ResyncProgress, offer: Offer) -> None:
        await self._context.control.fact(
            ResyncPlanned(
                run=self._run,
                attempt=self._attempt,
                number=order.number,
                replica=self._context.replica,
                digest=offer.digest,
                snapshot=offer.holder.id,
                tables=offer.made.tables,
                refused=dict(offer.made.refused),
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
