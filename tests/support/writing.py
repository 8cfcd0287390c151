"""A destination database for tests of the writer's SQL, a plan to write by, and batches as a generator makes them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pyarrow as pa

from support.grants import granted
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.batch import BatchHead, BatchId
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.job.spec import Destination as DestinationSpec
from tailrace_shared.job.spec import Job, Source
from tailrace_shared.messages import Planned, RunSubmitted
from tailrace_shared.plan.model import (
    DataKey,
    DdlStep,
    Fingerprints,
    Leaf,
    Plan,
    PlannedColumn,
    PlannedRange,
    PlannedTable,
)
from tailrace_shared.types import ColumnType
from tailrace_writer.destinations import Destination
from tailrace_writer.state.facts import apply_fact
from tailrace_writer.state.moves import Seat, move

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
DIGEST = "d" * 64
DUPLICATE = {"generator": "duplicate"}


def job(name: str = "shop") -> Job:
    return Job(name=name, source=Source(url="${SOURCE_URL}"), destination=DestinationSpec(url="${DESTINATION_URL}"))


def column(name: str, base: str, family: str, **given: Any) -> PlannedColumn:
    made = ColumnType(name=given.pop("type_name", base), base=base, family=family, **given)  # type: ignore[arg-type]
    return PlannedColumn.model_validate({"name": name, "type": made, "destination_type": made, "rule": DUPLICATE})


def table(number: int, name: str, columns: Sequence[PlannedColumn], *, ranges: int = 1, **given: Any) -> PlannedTable:
    return PlannedTable(
        number=number,
        name=TableName(schema_name="public", name=name),
        mode=given.pop("mode", "carry"),
        columns=tuple(columns),
        leaves=(Leaf(name=TableName(schema_name="public", name=name), oid=1, filenode=1),),
        ranges=tuple(
            PlannedRange(
                number=n, leaf=0, low=n * 10, high=None if n == ranges - 1 else n * 10 + 10, estimated_bytes=100
            )
            for n in range(ranges)
        ),
        **given,
    )


def plan(*tables: PlannedTable, ddl: Sequence[DdlStep] = (), attempt: int = 1, run: str = RUN, **given: Any) -> Plan:
    return Plan(
        release="0", run=run, attempt=attempt, job_digest="j", source_system="s", destination_system="d", regime="bypass",
        tables=tables, ddl=tuple(ddl), fingerprints=Fingerprints(mask_secret="m", catalogue="c", pools="p"),
        key=DataKey(id="k", wrapped=""), **given,
    )  # fmt: skip


def head(
    batch: int = 0, *, rows: int, last: bool = True, attempt: int = 1, table_no: int = 0, range_no: int = 0
) -> BatchHead:
    identity = BatchId(RUN, attempt, table_no, 0, range_no, batch, 0)
    return BatchHead(identity, "masked", 1, last, rows, rows * 10, DIGEST, "s", "", "c")


def rows_of(numbers: Sequence[int]) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(numbers, pa.int32()), pa.array([f"row {n}" for n in numbers])], names=["id", "name"]
    )


ID_NAME = (column("id", "int4", "integer"), column("name", "text", "text"))


@dataclass
class Database:
    """A database of its own in the embedded cluster, written by a role that owns it."""

    cluster: EmbeddedPostgres
    name: str = field(default_factory=lambda: f"writer_{secrets.token_hex(4)}")
    environment: dict[str, str] = field(default_factory=dict)

    def create(self, schema: str) -> None:
        self.cluster.create_database(self.name)
        self.cluster.run_sql(
            f"CREATE ROLE {self.name} LOGIN PASSWORD 'pw';" + granted("keep state", self.name, database=self.name)
        )
        rights = granted("use", self.name, schema="public") + granted("build", self.name, schema="public")
        self.cluster.run_sql(f"{rights} SET ROLE {self.name};\n{schema}", self.name)

    @property
    def url(self) -> str:
        return self.cluster.url(self.name, self.name, "pw")

    def destination(self, replica: str = "writer-test") -> Destination:
        """As a writer of that replica reaches it; the test sets DESTINATION_URL."""
        return Destination("${DESTINATION_URL}", f"tailrace/{replica}")

    async def submit(self, connection: asyncpg.Connection, run: str = RUN) -> Seat:
        """A submitted and planned run with a leader; its seat."""
        await apply_fact(connection, RunSubmitted(run=run, job=job(), at=datetime.now(UTC)))
        await apply_fact(connection, Planned(run=run, attempt=1, replica="reader-1", digest=DIGEST, snapshot="s-1"))
        await connection.execute("UPDATE tailrace.run SET epoch = 1, leader = 'writer-test' WHERE run = $1", run)
        seat = Seat(run, 1, 1)
        await move(connection, seat, "submitted", "planned")
        return seat


async def text_of(connection: asyncpg.Connection, name: str) -> list[str]:
    """A table's rows as text, sorted."""
    return sorted(row[0] for row in await connection.fetch(f"SELECT t::text FROM {name} t"))
