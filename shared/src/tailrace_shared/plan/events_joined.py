"""One model of two tables, in a plan: what of both is read, and how their rows are ordered from the generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators import Ai, Duplicate
from tailrace_shared.job.spec import Limits
from tailrace_shared.plan.events import EventPair
from tailrace_shared.plan.learning import DRAW_ROWS, SPARE, WORTH_SAMPLING
from tailrace_shared.plan.model import ORDER, LearnedEvents, Learning, PlannedColumn, PlannedRange, PlannedTable, Proof
from tailrace_shared.plan.orders import ORDER_BATCHES, Cut, width_of
from tailrace_shared.plan.scope import ColumnRef, ScopedTable
from tailrace_shared.types import Family

if TYPE_CHECKING:
    from tailrace_shared.plan.generated import Generation

EVENTS_LEARNED: Final = 300_000
"""More are not learned from at once: of more entities than have so many events, some at random."""
ORDERS_WANTED: Final = 64
"""Orders of a table of events, where it has so many blocks: events take long to draw, and replicas share them by orders."""
ORDERING: frozenset[Family] = frozenset(
    {"integer", "number", "float", "time", "interval", "date", "timestamp", "timestamptz"}
)
STRICT: frozenset[Family] = frozenset({"integer", "date", "timestamp", "timestamptz"})
"""Of these there is a next value, by which events that would be at the same place are moved apart."""


def events_per_entity(pair: EventPair, scope: Mapping[TableName, ScopedTable]) -> float:
    """As the source has them, where it knows."""
    entities, events = scope[pair.entity].table.rows, scope[pair.events].table.rows
    return min(float(pair.length_max), events / entities) if entities > 0 and events >= 0 else 1.0


def cut_events(entities: int, each: float, columns: Sequence[PlannedColumn], limits: Limits) -> Cut:
    """Rows of a batch, and orders over the entities: whole blocks of them, since a block's events are drawn together."""
    width = sum(map(width_of, columns)) or 1
    per_batch = max(1, min(limits.rows_per_batch, limits.batch_bytes // width))
    block_bytes = max(1.0, DRAW_ROWS * each * width)
    blocks = -(-entities // DRAW_ROWS)
    step = DRAW_ROWS * max(1, min(ORDER_BATCHES, int(limits.range_bytes // block_bytes), -(-blocks // ORDERS_WANTED)))
    orders = tuple(
        PlannedRange(
            number=number,
            leaf=ORDER,
            low=low,
            high=min(low + step, entities),
            estimated_bytes=max(1, int(each * width * min(step, entities - low))),
        )
        for number, low in enumerate(range(0, entities, step))
    )
    return Cut(per_batch, orders)


def join_events(tables: Sequence[PlannedTable], context: Generation) -> list[PlannedTable]:
    """The tables, with entities and events that are learned together joined."""
    found = {table.name: table for table in tables}
    for pair in context.pairs.values():
        entity, events = found[pair.entity], found[pair.events]
        if entity.learning is None or events.learning is None:
            continue  # it has problems enough
        if not _check(pair, events, context):
            continue
        found[pair.entity] = entity.model_copy(
            update={"learning": _together(pair, entity.learning, events.learning, context)}
        )
        found[pair.events] = events.model_copy(
            update={
                "learning": None,
                "events_of": entity.number,
                "after": (entity.number,),
            }
        )
    return [found[table.name] for table in tables]


def _check(pair: EventPair, events: PlannedTable, context: Generation) -> bool:
    problems, columns = context.problems, {column.name: column for column in events.columns}
    good = True
    if pair.order is not None:
        ours = context.scope[pair.events].table.column(pair.order)
        if ours is None or ours.type.family not in ORDERING:
            what = "the source has no such column" if ours is None else f"{ours.type.name} puts nothing in order"
            problems.error(
                "sequence-order", ColumnRef(pair.events, pair.order), what,
                "Let sequence.order name a number, a date or a time; or leave it out.",
            )  # fmt: skip
            good = False
        elif pair.order not in columns or not isinstance(columns[pair.order].rule, Ai):
            problems.error(
                "sequence-order", ColumnRef(pair.events, pair.order), "events are in order by it, so it has to be learned",
                "Remove its rule, or sequence.order.",
            )  # fmt: skip
            good = False
    for column in events.columns:
        if isinstance(column.rule, Ai) and column.rule.conditioned:
            problems.error(
                "sequence-rule", ColumnRef(pair.events, column.name), "conditions are on entities: events follow from them",
                f"Remove them, or give such options to columns of {pair.entity}.",
            )  # fmt: skip
            good = False
    return good


def _together(pair: EventPair, entity: Learning, events: Learning, context: Generation) -> Learning:
    """One sample of both tables: of each entity that is in it all events are."""
    people, rows = context.scope[pair.entity], context.scope[pair.events].table.rows
    percent = entity.percent
    if entity.sample == "random" and rows > 0:
        wanted = 100.0 * SPARE * EVENTS_LEARNED / rows
        percent = 100.0 if min(percent, wanted) >= WORTH_SAMPLING else max(min(percent, wanted), 1e-6)
    read = events.source
    first = len(entity.source.ranges)
    names = [pair.foreign_key] if pair.foreign_key not in {c.name for c in read.columns} else []
    read = read.model_copy(
        update={
            "columns": (*read.columns, *(_read(context.scope[pair.events], name) for name in names)),
            "ranges": tuple(piece.model_copy(update={"number": first + piece.number}) for piece in read.ranges),
        }
    )
    source = entity.source
    if pair.key not in {column.name for column in source.columns}:
        source = source.model_copy(update={"columns": (*source.columns, _read(people, pair.key))})
    context.proofs.append(_protection(pair, entity))
    return entity.model_copy(
        update={
            "source": source,
            "percent": percent,
            "key": pair.key,
            "events": LearnedEvents(
                source=read,
                columns=events.columns,
                foreign_key=pair.foreign_key,
                order=pair.order or "",
                length_max=pair.length_max,
            ),
        }
    )


def _read(scoped: ScopedTable, name: str) -> PlannedColumn:
    column = scoped.table.column(name)
    assert column is not None
    return PlannedColumn(name=name, type=column.type, destination_type=column.type, rule=Duplicate())


def _protection(pair: EventPair, learning: Learning) -> Proof:
    order = f"in order of {pair.order}" if pair.order else "in the order in which they are stored"
    return Proof(
        about=f"{pair.events} events of {pair.entity}",
        verdict="proved",
        reason=f"learned with it, {order}; {learning.k} rows of {pair.entity} or more stand behind every value, edge and knot; "
        f"an entity has as many events as {learning.k} others reach, {pair.length_max:,} at most",
    )
