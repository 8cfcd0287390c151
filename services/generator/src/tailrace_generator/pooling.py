"""Pools: keys of carried tables, masked as the tables' own rows are, that made rows refer to."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.kernels.canonical import uuid_text
from tailrace_generator.masking import TableMasker
from tailrace_generator.workshop import Workshop
from tailrace_shared import topics
from tailrace_shared.batch import BatchHead
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.messages import PoolReady
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext


class PoolMasker:
    """Masks keys that a reader has sent and puts them on the topic ``models``, in clear as all masked rows are."""

    def __init__(
        self,
        context: ServiceContext,
        namespace: str,
        plan: Plan,
        secret: MaskSecret,
        workshop: Workshop,
        sender: Sender,
    ) -> None:
        self._context = context
        self._plan = plan
        self._secret = secret
        self._workshop = workshop
        self._sender = sender
        self._topic = topics.of_run(namespace, plan.run, "models")

    async def publish(self, head: BatchHead, keys: pa.RecordBatch) -> None:
        """Mask, publish, tell. Any replica may, any number of times: what is published is the same."""
        try:
            body = masked_pool(self._plan, head.id.table, keys, self._secret, self._workshop)
        except TransientError as error:  # a kernel's failure: the same keys would fail again
            raise TerminalError(error.code, error.message, error.remedy) from None
        digest = hashlib.sha256(body).hexdigest()
        sent = await self._sender.enqueue(self._topic, body, partition=0, headers=[])
        await sent
        crash_point("generator.pool-sent")
        await self._context.control.fact(
            PoolReady(
                run=self._plan.run, attempt=self._plan.attempt, table=head.id.table, replica=self._context.replica,
                digest=digest, rows=keys.num_rows, bytes=len(body),
            )
        )  # fmt: skip


def masked_pool(plan: Plan, table: int, keys: pa.RecordBatch, secret: MaskSecret, workshop: Workshop) -> bytes:
    """A pool's bytes. It is in the order of the masked keys: that of the originals would tell which is which."""
    planned = plan.table(table)
    columns = tuple(c for c in planned.columns if c.name in keys.schema.names)
    made = TableMasker(planned.model_copy(update={"columns": columns}), secret, workshop)(keys)
    names = [f"{place}" for place in range(made.num_columns)]
    order = pc.sort_indices(
        pa.table([_sortable(column) for column in made.columns], names=names),
        sort_keys=[(name, "ascending") for name in names],
    )
    return ipc.encode(made.take(order))


def _sortable(column: pa.Array) -> pa.Array:
    """Values that PyArrow can order."""
    return uuid_text(column) if pa.types.is_fixed_size_binary(column.type) else column
