"""What the leader sends out: work items for the readers to the run's ``work`` topic, orders for the generators to ``orders``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from tailrace_shared import topics
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import Bound, MakeRows, ReadRange, Work
from tailrace_shared.plan.model import ORDER, Plan
from tailrace_shared.postgres import translated
from tailrace_writer.state.learning import ready_models
from tailrace_writer.state.moves import Seat
from tailrace_writer.state.pools import ready_pools
from tailrace_writer.state.view import RangeKey

_RANGES = """
SELECT r.table_no, r.load, r.range_no, leaf, low_block, low_item, high_block, high_item,
       t.plan, t.revision
FROM tailrace.range r JOIN tailrace."table" t USING (run, attempt, table_no)
JOIN unnest($3::int[], $4::int[], $5::int[]) WITH ORDINALITY AS k(t, l, n, position)
  ON r.table_no = k.t AND r.load = k.l AND r.range_no = k.n
WHERE r.run = $1 AND r.attempt = $2 ORDER BY k.position
"""


class WorkTopic:
    """Sends work items and orders; connects when the first one is sent."""

    def __init__(self, kafka: Kafka, namespace: str, run: str, message_bytes: int) -> None:
        self._kafka = kafka
        self._topic = topics.of_run(namespace, run, "work")
        self._orders = topics.of_run(namespace, run, "orders")
        self._message_bytes = message_bytes
        self._sender: Sender | None = None

    async def send(self, items: Sequence[Work | MakeRows]) -> None:
        """Durable when it returns; any reader or generator may take any item, possibly twice."""
        if self._sender is None:
            sender = Sender(self._kafka, self._message_bytes)
            await sender.start()
            self._sender = sender
        for item in items:
            topic = self._orders if isinstance(item, MakeRows) else self._topic
            await self._sender.send(topic, item.model_dump_json().encode())

    async def close(self) -> None:
        """Disconnect."""
        if self._sender is not None:
            await self._sender.stop(Deadline.after(1.0))


async def read_ranges(
    connection: asyncpg.Connection, seat: Seat, keys: Sequence[RangeKey], events: Mapping[int, int]
) -> list[ReadRange | MakeRows]:
    """The work items of ranges, and the orders among them, from their rows. ``events``: tables of events, and their entities',
    whose model they share."""
    with translated():
        rows = await connection.fetch(_RANGES, seat.run, seat.attempt, *zip(*keys, strict=True))
        orders = any(row["leaf"] == ORDER for row in rows)
        models = await ready_models(connection, seat) if orders else {}
        pools = await ready_pools(connection, seat) if orders else {}
    models |= {table: models[entity] for table, entity in events.items() if entity in models}
    return [_item(seat, row, models, pools) for row in rows]


def sample_ranges(plan: Plan, seat: Seat, table: int, ranges: Sequence[int]) -> list[ReadRange]:
    """The work items of ranges of rows to learn from."""
    learning = plan.table(table).learning
    wanted = [] if learning is None else [r for r in learning.pieces if r.number in set(ranges)]
    return [
        ReadRange(
            run=seat.run,
            attempt=seat.attempt,
            table=table,
            load=0,
            range=r.number,
            leaf=r.leaf,
            low=Bound(block=r.low),
            high=None if r.high is None else Bound(block=r.high, item=r.high_item),
            sample=True,
        )
        for r in wanted
    ]


def _item(
    seat: Seat, row: asyncpg.Record, models: Mapping[int, str], pools: Mapping[int, Mapping[int, str]]
) -> ReadRange | MakeRows:
    if row["leaf"] == ORDER:
        return MakeRows(
            run=seat.run,
            attempt=seat.attempt,
            table=row["table_no"],
            load=row["load"],
            range=row["range_no"],
            first=row["low_block"],
            rows=row["high_block"] - row["low_block"],
            model=models.get(row["table_no"], ""),
            pools=dict(pools.get(row["table_no"], {})),
        )
    return ReadRange(
        run=seat.run,
        attempt=seat.attempt,
        table=row["table_no"],
        load=row["load"],
        range=row["range_no"],
        leaf=row["leaf"],
        low=Bound(block=row["low_block"], item=row["low_item"]),
        high=None if row["high_block"] is None else Bound(block=row["high_block"], item=row["high_item"]),
        plan=row["plan"],
        resync=row["revision"],
    )
