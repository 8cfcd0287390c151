"""Planning tables anew while the capture stands still between two transactions: publication, snapshot, plan.

Everything up to where the capture stands is in the snapshot, since it is taken when all that ran then is over; what comes behind is
in the stream. So the tables can be loaded from the one and followed by the other, whatever was passed over of them before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from tailrace_reader.capture.point import CutOver, export_point, settled
from tailrace_reader.capture.publication import (
    check_identities,
    check_publication,
    ensure_publication,
    publication_of,
    relations_of,
)
from tailrace_reader.lane_opening import captured_relations, lsn_text
from tailrace_reader.snapshot import HeldSnapshot, SourceServer, begin_in
from tailrace_shared import topics
from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import Plan, TableCut
from tailrace_shared.plan.resync import (
    Ground,
    OrderedTable,
    ResyncOrder,
    appeared,
    ground_of,
    job_of,
    planned_table,
    refusals,
    revise,
    unlike,
)
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated
from tailrace_shared.service.context import ServiceContext

SETTLE_S = 20.0
"""For transactions that run when the capture has stopped. It stands meanwhile; longer ones make the resync wait for another."""
_STOP_S = 5.0
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class NothingPlanned(TerminalError):
    """None of the ordered tables can be planned."""

    def __init__(self, refused: Mapping[int, str]) -> None:
        super().__init__("resync.refused", "; ".join(refused.values()) or "none of the tables can be planned")
        self.refused = dict(refused)


class Offered(NamedTuple):
    """A plan of ordered tables."""

    plan: Plan
    tables: tuple[int, ...]
    """Those that are to be loaded."""
    refused: Mapping[int, str]
    """Those that cannot be planned, and why."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan that is published and waits to be accepted, and the snapshot that it was made in."""

    digest: str
    made: Offered
    holder: HeldSnapshot


@dataclass(frozen=True, slots=True)
class Reviser:
    """Makes offers for one run's attempt."""

    context: ServiceContext
    source: SourceServer
    namespace: str

    async def offer(self, order: ResyncOrder, plan: Plan, since: int, turned: Callable[[], None]) -> Offer:
        """Plan the ordered tables. ``since``: the commit up to which the lane goes; the capture stands there until it is known
        what becomes of the offer. Raises NothingPlanned, and as its parts do."""
        refused: dict[TableName, str] = {}
        connection = await self.plain()
        try:
            await self._publish_tables(connection, order, plan, refused)
            turned()
            await settled(connection, SETTLE_S)
        finally:
            connection.terminate()
        turned()
        holder, point = await self._snapshot()
        cut = TableCut(
            revision=order.number,
            since=lsn_text(since),
            snapshot=str(point.visible),
            filter_until=lsn_text(point.lsn),
        )
        try:
            made = await self._plan(order, plan, holder, cut, refused)
            turned()
            digest = await self.publish(made.plan)
        except BaseException:
            holder.release()
            raise
        return Offer(digest, made, holder)

    async def _publish_tables(
        self, connection: asyncpg.Connection, order: ResyncOrder, plan: Plan, refused: dict[TableName, str]
    ) -> None:
        """The publication has what is carried and can be, and nothing else."""
        follow = plan.continuous
        assert follow is not None
        carried = [t.name for t in plan.tables if t.relation is not None]
        ordered = [t.name for t in order.tables]
        there = await relations_of(connection, [*carried, *ordered])
        for name in ordered:
            if name not in there:
                refused[name] = "the source has no such table any more"
                continue
            try:
                await check_identities(connection, [name])
                if not follow.managed:
                    await check_publication(connection, follow.publication, [name])
            except TerminalError as error:
                refused[name] = f"{error.message}. {error.remedy}"
        if not follow.managed:
            return
        present = await publication_of(connection, follow.publication)
        known = present.tables if present else frozenset()
        wanted = [name for name in dict.fromkeys([*carried, *ordered]) if name in there and name not in refused]
        try:
            await ensure_publication(connection, follow.publication, wanted)
        except TerminalError as error:
            new = [name for name in ordered if name not in known and name not in refused]
            if not new:
                raise
            refused |= dict.fromkeys(new, f"it cannot be published: {error.message}. {error.remedy}")
            await ensure_publication(connection, follow.publication, [name for name in wanted if name not in new])

    async def _snapshot(self) -> tuple[HeldSnapshot, CutOver]:
        held = await self.source.connect()
        try:
            with translated():
                await held.execute(_BEGIN)
                point = await export_point(held)
        except BaseException:
            held.terminate()
            raise
        return HeldSnapshot(held, point.snapshot), point

    async def _plan(
        self,
        order: ResyncOrder,
        plan: Plan,
        holder: HeldSnapshot,
        cut: TableCut,
        refused: dict[TableName, str],
    ) -> Offered:
        connection = await self.plain()
        try:
            with translated():
                await begin_in(connection, holder)
                source = await read_catalogue(connection, order.job.schemas)
                relations = await captured_relations(
                    connection, [t.name for t in source.tables if t.kind in ("r", "p")]
                )
                fresh, ground = await fresh_plan(connection, order, plan, source, refused)
                while others := unlike(plan, fresh, [t.name for t in order.tables]):
                    more = tuple(OrderedTable(number=t.number, name=t.name) for t in others)
                    order = order.model_copy(update={"tables": (*order.tables, *more)})
                    fresh, ground = await fresh_plan(connection, order, plan, source, refused)
        finally:
            connection.terminate()
        ordered = {t.name: t.number for t in order.tables}
        _refuse_unmade(fresh, ordered, refused)
        taken = {name: number for name, number in ordered.items() if name not in refused}
        if not taken:
            raise NothingPlanned(_numbered(order, refused))
        made = revise(
            plan,
            fresh,
            taken,
            number=order.number,
            cut=cut,
            relations=relations,
            new_columns=_appeared(source, plan, taken),
            statements=ground.statements,
        )
        return Offered(made, tuple(sorted(taken.values())), _numbered(order, refused))

    async def publish(self, plan: Plan) -> str:
        """The plan on the run's topic; its digest."""
        data = await asyncio.to_thread(plan.encode)
        sender = Sender(self.context.kafka, plan.message_bytes)
        await sender.start()
        try:
            await sender.send(topics.of_run(self.namespace, plan.run, "plan"), data, partition=0)
        finally:
            await sender.stop(Deadline.after(_STOP_S))
        return Plan.digest_of(data)

    async def plain(self) -> asyncpg.Connection:
        """A session of its own."""
        return await connect(
            self.source.url,
            self.source.application_name,
            variable=self.source.variable,
            timeout_s=CONNECT_TIMEOUT_S,
            statement_timeout="0",
        )


async def fresh_plan(
    connection: asyncpg.Connection, order: ResyncOrder, plan: Plan, source: Catalogue, refused: dict[TableName, str]
) -> tuple[Plan, Ground]:
    """A plan of everything, as if the run began now; what keeps ordered tables from being planned is noted."""
    job, by_policy = job_of(order, plan, source)
    refused |= by_policy
    ground = ground_of(order, plan, source)
    facts = await gather_facts(connection, job, source, ground.destination)
    result = await asyncio.to_thread(
        build_plan,
        job,
        source,
        ground.destination,
        run=order.run,
        attempt=order.attempt,
        fingerprints=plan.fingerprints,
        key=plan.key,
        facts=facts,
        tolerant=True,
    )
    for name, why in refusals(result.problems, order, source).items():
        refused.setdefault(name, why)
    if result.plan is None:
        raise NothingPlanned(_numbered(order, refused))
    return result.plan, ground


def _refuse_unmade(fresh: Plan, taken: Mapping[TableName, int], refused: dict[TableName, str]) -> None:
    """What nobody has decided about must not travel, whichever problem said so."""
    planned = {table.name: table for table in fresh.tables}
    for name in taken:
        table = planned.get(name)
        if table is None or table.mode not in ("carry", "duplicate"):
            refused.setdefault(name, "the job does not carry it")
        elif any(not column.why for column in table.columns):
            refused.setdefault(name, "a column of it has no rule")
        elif not table.columns:
            refused.setdefault(name, "it has no column that is carried")


def _appeared(source: Catalogue, plan: Plan, taken: Mapping[TableName, int]) -> dict[TableName, tuple[str, ...]]:
    found = {}
    for name, number in taken.items():
        ours, before = source.table(name), planned_table(plan, number)
        if ours is not None and before is not None:
            found[name] = tuple(column.name for column in appeared(ours, before))
    return found


def _numbered(order: ResyncOrder, refused: Mapping[TableName, str]) -> dict[int, str]:
    numbers = {table.name: table.number for table in order.tables}
    return {numbers[name]: why for name, why in refused.items() if name in numbers}
