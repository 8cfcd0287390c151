"""A network that can be cut: a TCP proxy in front of a server, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from support.databases import Pair


class TcpProxy:
    """Forwards to a port of this machine. ``cut``: every connection is reset and none is taken; ``silence``: nothing passes any
    more, and nobody is told; ``heal`` ends both for new connections; ``lead`` names another port for them."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = True
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self._do(self._cut)

    def silence(self) -> None:
        self._do(self._flows.clear)

    def heal(self) -> None:
        """New connections pass; those that were silent are reset."""
        self._do(self._heal)

    def lead(self, port: int) -> None:
        self._target = port

    def close(self) -> None:
        self.cut()
        self._do(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _do(self, call: object) -> None:
        done = threading.Event()

        def run() -> None:
            call()  # type: ignore[operator]
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    async def _start(self) -> asyncio.Server:
        self._flows.set()
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def _cut(self) -> None:
        self._open = False
        for writer in self._writers:
            writer.transport.abort()

    def _heal(self) -> None:
        if not self._flows.is_set():
            for writer in self._writers:
                writer.transport.abort()
        self._flows.set()
        self._open = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            await asyncio.gather(self._pipe(reader, there_writer), self._pipe(there_reader, writer))
        finally:
            self._writers -= both

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def proxied(port: int) -> Iterator[TcpProxy]:
    proxy = TcpProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


@dataclass
class Behind(Pair):
    """A pair whose services reach one side through a proxy."""

    proxy: TcpProxy | None = None
    side: str = ""

    @property
    def source_url(self) -> str:
        return self._through("source", super().source_url)

    @property
    def destination_url(self) -> str:
        return self._through("destination", super().destination_url)

    def _through(self, side: str, url: str) -> str:
        assert self.proxy is not None
        return url.replace(f":{getattr(self, side).port}/", f":{self.proxy.port}/") if side == self.side else url
