"""A slot's stream: opened, cut into what makes a record, confirmed every second whatever happens downstream."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import asyncpg

from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.errors import CapturePrivilege, StreamEnded, server_failure
from tailrace_reader.capture.frames import Frames
from tailrace_reader.capture.transactions import EPOCH_US
from tailrace_reader.capture.wire import Wire, transport_of
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect_replication
from tailrace_shared.types import quote_ident

HOLD_BYTES = 16 << 20
"""In hand at most, with one frame and one read on top; the walsender waits then."""
STATUS_S = 1.0
STILL_S = 10.0
"""A server that shuts down waits for its walsenders to have sent everything and to have it confirmed, without a limit. So a stream
on which nothing moves for this long lets the server go; the slot keeps what was not confirmed."""
POLL_S = 0.005
_STATUS = struct.Struct(">IcQQQqB")


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is opened."""

    slot: str
    publication: str
    rule: CutRule = CutRule()  # noqa: RUF009 — frozen
    frame_bytes: int = 16 << 20
    """A larger frame cannot travel."""
    hold_bytes: int = HOLD_BYTES
    status_s: float = STATUS_S
    still_s: float = STILL_S


def stream_options(slot: str, publication: str, message_bytes: int) -> StreamOptions:
    """For a plan with messages of that size. A frame may hold a row twice: an update brings the old one, too."""
    return StreamOptions(slot, publication, CutRule.of(message_bytes), frame_bytes=2 * message_bytes)


class ChangeStream:
    """The frames of one session. One task uses it; the status goes out from a task of its own.

    - ``cut`` waits until frames for a record have come, ``drop`` says how many were used.
    - ``confirm`` may be called at any time; what is confirmed is what the lane holds, never what was received.
    - Where nothing moves for ``still_s``, the session ends by itself: ``cut`` gives what is in hand, then raises StreamEnded.
    """

    def __init__(self, connection: asyncpg.Connection, wire: Wire, options: StreamOptions, confirmed: int) -> None:
        self._connection = connection
        self._wire = wire
        self._options = options
        self._received = confirmed
        self._confirmed = confirmed
        self._started = False
        self._status_task: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self._asked_since: float | None = None
        """Since when the server has been asking for replies: as we report by ourselves, it does so only to shut down."""

    @classmethod
    async def open(cls, server: SourceServer, options: StreamOptions, start_lsn: int = 0) -> Self:
        """Stream from ``start_lsn``, or from where the slot was confirmed, whichever is later.

        Raises SlotActive, SlotLost, CapturePrivilege, and as ``tailrace_shared.postgres.connect``.
        """
        try:
            connection = await connect_replication(server.url, server.application_name, variable=server.variable)
        except TerminalError as error:
            if error.code == "postgres.privilege":  # it may connect, but not as a walsender
                raise CapturePrivilege from None
            raise
        try:
            stream = cls(
                connection,
                Wire(transport_of(connection), max(options.hold_bytes, options.rule.bytes), options.frame_bytes),
                options,
                start_lsn,
            )
            await stream._start(start_lsn)
        except BaseException:
            _terminate(connection)
            raise
        return stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def confirmed(self) -> int:
        """What the server has been told, or will be within a second."""
        return self._confirmed

    @property
    def idle_lsn(self) -> int:
        """With no frame in hand: WAL below has been decoded, and all that it brought was handed out. 0 otherwise."""
        return 0 if len(self._wire.buffer) else self._wire.buffer.keepalive_lsn

    async def cut(self, inside: bool, timeout_s: float) -> Frames | None:
        """Frames for the next record, None after ``timeout_s`` without. They stay in hand until ``drop``.

        Raises TransientError when the connection is gone, and what the server has said otherwise.
        """
        deadline = time.monotonic() + timeout_s
        wire, rule = self._wire, self._options.rule
        while True:
            wire.news.clear()
            self._heed()
            now = time.monotonic()
            if rule.due(len(wire.buffer), wire.buffer.held, wire.since, now):
                frames = wire.buffer.frames(rule.changes + 1)
                count = rule.cut(frames, inside)
                if count:
                    self._received = max(self._received, self._lsn_of(frames, count - 1))
                    return frames.first(count)
            self._fail_if_ended()
            if now >= deadline:
                return None
            wait = min(deadline - now, rule.delay_s if len(wire.buffer) else timeout_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await wire.news.wait()

    def drop(self, count: int) -> None:
        """The first frames have been used."""
        self._wire.drop(count)

    def confirm(self, lsn: int) -> None:
        """The lane holds everything below: the server may forget it. Said with the next status."""
        self._confirmed = max(self._confirmed, lsn)

    def report(self, reply: bool = False) -> None:
        """Send a status now; ``reply``: and ask for a keepalive, which tells how far the server has decoded."""
        now = int(time.time() * 1_000_000) - EPOCH_US
        received = max(self._received, self._confirmed)
        status = _STATUS.pack(38, b"r", received, self._confirmed, self._confirmed, now, int(reply))
        self._wire.send(b"d" + status)

    async def close(self) -> None:
        """End the session at once; what is not confirmed comes again in the next one."""
        if self._status_task is not None:
            self._status_task.cancel()
            await asyncio.gather(self._status_task, return_exceptions=True)
        self._wire.close()
        _terminate(self._connection)

    async def _start(self, start_lsn: int) -> None:
        options = self._options
        publication = quote_ident(options.publication).replace("'", "''")
        query = (
            f"START_REPLICATION SLOT {quote_ident(options.slot)} LOGICAL {start_lsn >> 32:X}/{start_lsn & 0xFFFFFFFF:X} "
            f"(proto_version '1', publication_names '{publication}', messages 'true')"
        ).encode() + b"\0"
        self._wire.send(b"Q" + struct.pack(">I", len(query) + 4) + query)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while not self._started:
                    await self._wire.news.wait()
                    self._wire.news.clear()
                    self._heed()
                    self._fail_if_ended()
        except TimeoutError:
            raise TransientError("capture.start", "the source did not start the change stream in time") from None
        self._status_task = asyncio.create_task(self._keep_reporting(), name="replication status")

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(self._options.status_s)
            self._answer()
            self.report()
            if self._stands_still(time.monotonic()):
                self._wire.close()
                return

    def _answer(self) -> None:
        buffer = self._wire.buffer
        if buffer.reply_wanted:
            buffer.reply_wanted = False
            self._asked_at = time.monotonic()
            self.report()

    def _stands_still(self, now: float) -> bool:
        """Nobody takes what is in hand, or the server asks and asks for what is not confirmed: for too long."""
        if now - self._asked_at > 2 * self._options.status_s or self._confirmed >= self._wire.buffer.keepalive_lsn:
            self._asked_since = None
        elif self._asked_since is None:
            self._asked_since = now
        since = [s for s in (self._asked_since, self._wire.waiting_since) if s is not None]
        return bool(since) and now - min(since) >= self._options.still_s

    def _heed(self) -> None:
        """What the server says beside frames."""
        buffer = self._wire.buffer
        messages, buffer.server = buffer.server, []
        for message in messages:
            if message.tag == "W":
                self._started = True
            elif message.tag == "E":
                raise server_failure(message.body, self._options.slot, self._options.publication, started=self._started)
            elif message.tag == "c":
                raise StreamEnded
        self._answer()

    def _fail_if_ended(self) -> None:
        failure: TailraceError
        if self._wire.failure is not None:
            failure = TerminalError(
                "reader.row-too-large",
                f"a change of {self._wire.failure.bytes:,} bytes does not fit a message",
                "Raise limits.message_bytes in the job (up to 64 MiB), or exclude the table or its large column.",
            )
            raise failure
        if self._wire.closed:
            raise StreamEnded

    def _lsn_of(self, frames: Frames, index: int) -> int:
        at = int(frames.starts[index]) + 6
        return int.from_bytes(frames.data[at : at + 8], "big")


def _terminate(connection: asyncpg.Connection) -> None:
    """asyncpg says farewell, and its transport may be closed by then: by the server, or by us."""
    with contextlib.suppress(RuntimeError):
        connection.terminate()
