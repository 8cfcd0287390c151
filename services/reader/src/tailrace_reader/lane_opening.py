"""Opening a lane in the source: publication, then slot, then a snapshot that fits its stream. And what is dropped at its end.

Slot and publication are named after run and attempt: whoever finds one knows whose it is, and a new attempt never meets an old
stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from tailrace_reader.capture.point import CutOver, export_point, settled
from tailrace_reader.capture.publication import (
    Places,
    check_publication,
    drop_publication,
    ensure_publication,
    places_of,
    relations_of,
)
from tailrace_reader.capture.relations import Relation
from tailrace_reader.capture.slots import create_slot, drop_slot, slots_named, source_position
from tailrace_reader.snapshot import HeldSnapshot, SourceServer
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.model import CapturedColumn, CapturedRelation, Plan
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated

PREFIX = "tailrace_"
_NAME = re.compile(PREFIX + r"([0-9a-hjkmnp-tv-z]{26})_([0-9]{1,6})\Z")
SETTLE_S = 60.0
"""For transactions that run when a slot is made; longer ones are told, and waited for again."""
DROP_S = 10.0
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class OpenedLane:
    """A slot whose stream and this snapshot together miss nothing."""

    holder: HeldSnapshot
    point: CutOver
    slot: str
    publication: str
    system: str
    timeline: int
    start: int
    relations: dict[TableName, CapturedRelation]

    def into(self, plan: Plan) -> Plan:
        """The plan with what is the source's to say."""
        assert plan.continuous is not None
        follow = plan.continuous.model_copy(
            update={
                "slot": self.slot,
                "publication": self.publication,
                "system": self.system,
                "timeline": self.timeline,
                "start": lsn_text(self.start),
                "snapshot": str(self.point.visible),
                "filter_until": lsn_text(self.point.lsn),
            }
        )
        tables = tuple(t.model_copy(update={"relation": self.relations.get(t.name)}) for t in plan.tables)
        return plan.model_copy(update={"continuous": follow, "tables": tables})


def name_of_lane(run: str, attempt: int) -> str:
    """Of the attempt's slot and of its publication."""
    return f"{PREFIX}{run.lower()}_{attempt}"


def lane_of_name(name: str) -> tuple[str, int] | None:
    """Run and attempt; None where the name is not one of ours."""
    found = _NAME.match(name)
    return (found[1].upper(), int(found[2])) if found else None


async def open_lane(
    source: SourceServer, run: str, attempt: int, tables: Sequence[TableName], publication: str | None
) -> OpenedLane:
    """Make or check the publication, make the slot, export the snapshot. Doing it again finds what is there already.

    Raises what ``capture.slots``, ``capture.publication`` and ``capture.point`` raise. Slot and publication stay then: for the next
    try, or for the janitor.
    """
    name = name_of_lane(run, attempt)
    connection = await _plain(source)
    try:
        system, timeline, _ = await source_position(connection)
        if publication is None:
            await ensure_publication(connection, name, tables)
        else:
            await check_publication(connection, publication, tables)
        start = await create_slot(connection, name, failover=True, timeout_s=SETTLE_S)
        await settled(connection, SETTLE_S)
        relations = await captured_relations(connection, tables)
    finally:
        connection.terminate()
    held = await source.connect()
    try:
        with translated():
            await held.execute(_BEGIN)
            point = await export_point(held)
    except BaseException:
        held.terminate()
        raise
    holder = HeldSnapshot(held, point.snapshot)
    return OpenedLane(holder, point, name, publication or name, system, timeline, start, relations)


async def captured_relations(
    connection: asyncpg.Connection, tables: Sequence[TableName]
) -> dict[TableName, CapturedRelation]:
    """What a plan remembers of these tables, as they are now. Those that do not exist are missing from the answer."""
    found, places = await relations_of(connection, tables), await places_of(connection, tables)
    return {name: captured_relation(relation, places.get(name)) for name, relation in found.items()}


def captured_relation(relation: Relation, places: Places | None = None) -> CapturedRelation:
    """How a plan remembers what the stream will say of a table, and which numbers its columns have."""
    numbers: Mapping[str, int] = places.numbers if places else {}
    return CapturedRelation(
        oid=relation.oid,
        identity=relation.identity,  # type: ignore[arg-type]
        columns=tuple(
            CapturedColumn(name=c.name, type_oid=c.type_oid, typmod=c.typmod, key=c.key, number=numbers.get(c.name, 0))
            for c in relation.columns
        ),
        last=places.last if places else 0,
    )


async def drop_lane(source: SourceServer, slot: str, publication: str | None) -> None:
    """Drop the slot, and the publication where it is the run's own. None there is fine.

    Raises TransientError when the slot stays in use.
    """
    connection = await _plain(source)
    try:
        await drop_slot(connection, slot, DROP_S)
        if publication is not None:
            await drop_publication(connection, publication)
    finally:
        connection.terminate()


async def lanes_left(source: SourceServer) -> list[str]:
    """Names of our slots and publications in the source's database."""
    connection = await _plain(source)
    try:
        slots = {state.name for state in await slots_named(connection, PREFIX)}
        with translated():
            rows = await connection.fetch(
                "SELECT pubname::text FROM pg_catalog.pg_publication WHERE pg_catalog.starts_with(pubname::text, $1)",
                PREFIX,
            )
        return sorted(name for name in slots | {row[0] for row in rows} if lane_of_name(name))
    finally:
        connection.terminate()


def lsn_text(lsn: int) -> str:
    """As PostgreSQL prints it: ``16/B374D848``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_of(text: str) -> int:
    """Bytes of WAL from PostgreSQL's ``16/B374D848``. Raises ValueError."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


async def _plain(source: SourceServer) -> asyncpg.Connection:
    return await connect(
        source.url,
        source.application_name,
        variable=source.variable,
        timeout_s=CONNECT_TIMEOUT_S,
        statement_timeout="0",
    )
