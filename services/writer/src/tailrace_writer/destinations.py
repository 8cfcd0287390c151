"""Destinations: how a writer reaches them, by the name of the variable that holds the URL. One failing delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import asyncpg

from tailrace_shared.errors import TailraceError
from tailrace_shared.postgres import connect, translated
from tailrace_shared.secrets import name_of, resolve
from tailrace_shared.service.context import ServiceContext
from tailrace_writer.state.schema import ensure_schema

CONNECT_TIMEOUT_S = 10.0
_FAREWELL_S = 1.0


class Destination:
    """One destination database. Sessions are named after the replica, so that others recognise what a stopped one holds."""

    def __init__(self, reference: str, application_name: str) -> None:
        self.reference = reference
        self._application_name = application_name
        self._ensured = False
        self._ensuring = asyncio.Lock()

    async def connect(self) -> asyncpg.Connection:
        """A new session; the schema ``tailrace`` exists. Raises UsageError, TransientError or TerminalError."""
        connection = await connect(
            resolve(self.reference),
            self._application_name,
            variable=name_of(self.reference),
            timeout_s=CONNECT_TIMEOUT_S,
            statement_timeout="0",
            lock_timeout="0",
            idle_in_transaction_session_timeout="0",
        )
        try:
            with suppress(asyncpg.PostgresError):  # not on every platform of the server
                # A backend whose client was killed notices in the middle of an index build, and lets its locks go.
                await connection.execute("SET client_connection_check_interval = '2s'")
            await self._ensure(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _ensure(self, connection: asyncpg.Connection) -> None:
        if self._ensured:
            return
        async with self._ensuring:
            if not self._ensured:
                await ensure_schema(connection)
                self._ensured = True


Duty = Callable[[Destination], Coroutine[Any, Any, None]]
"""What a writer does in a destination for as long as a run needs it; cancelled in the end."""


class Destinations:
    """All destinations that this writer knows; a heartbeat of this replica, and its other duties, where a run needs it."""

    def __init__(self, context: ServiceContext, *duties: Duty) -> None:
        self._context = context
        self._duties: tuple[Duty, ...] = (self._beat, *duties)
        self._known: dict[str, Destination] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def of(self, reference: str) -> Destination:
        """The destination behind ``${NAME}``; nothing is connected yet."""
        if reference not in self._known:
            self._known[reference] = Destination(reference, self._context.application_name)
        return self._known[reference]

    def keep(self, references: set[str]) -> None:
        """Do the duties in these destinations, and in no other."""
        for reference in references - self._tasks.keys():
            self._tasks[reference] = [self._start(duty, reference) for duty in self._duties]
        for reference in self._tasks.keys() - references:
            for task in self._tasks.pop(reference):
                task.cancel()

    async def stop(self) -> None:
        """Stop all of them."""
        tasks = [task for several in self._tasks.values() for task in several]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, duty: Duty, reference: str) -> asyncio.Task[None]:
        name = getattr(duty, "__name__", "duty").strip("_")
        task = asyncio.create_task(duty(self.of(reference)), name=f"{name} {reference}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A duty ends by cancellation; an error that it does not handle itself is a defect."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _beat(self, destination: Destination) -> None:
        settings = self._context.settings
        connection: asyncpg.Connection | None = None
        try:
            while True:
                try:
                    connection = connection or await destination.connect()
                    await beat(connection, self._context.replica, *self._memory())
                except TailraceError as error:
                    self._context.log.warning("heartbeat.failed", code=error.code, message=error.message)
                    if connection is not None:
                        connection.terminate()
                        connection = None
                await asyncio.sleep(settings.heartbeat_s)
        finally:
            if connection is not None:
                await self._say_leaving(connection)
                connection.terminate()

    async def _say_leaving(self, connection: asyncpg.Connection) -> None:
        """A writer that stops, or has nothing to do here any more, is not lost. Best effort: it is going either way."""
        with suppress(TailraceError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await beat(connection, self._context.replica, *self._memory(), leaving=True)

    def _memory(self) -> tuple[int, int]:
        group = self._context.metrics.memory
        return group.resident_bytes(), group.limit_bytes() or 0


async def beat(
    connection: asyncpg.Connection, replica: str, memory_bytes: int = 0, memory_limit: int = 0, *, leaving: bool = False
) -> None:
    """Say in the destination that this writer is alive, or leaves, by the destination's clock."""
    with translated():
        await connection.execute(
            "WITH gone AS (DELETE FROM tailrace.replica WHERE run = '' AND seen_at < clock_timestamp() - interval '1 day') "
            "INSERT INTO tailrace.replica (run, replica, service, memory_bytes, memory_limit, leaving) "
            "VALUES ('', $1, 'writer', $2, $3, $4) "
            "ON CONFLICT (run, replica) DO UPDATE SET seen_at = clock_timestamp(), memory_bytes = excluded.memory_bytes, "
            "memory_limit = excluded.memory_limit, leaving = excluded.leaving",
            replica, memory_bytes, memory_limit, leaving,
        )  # fmt: skip
