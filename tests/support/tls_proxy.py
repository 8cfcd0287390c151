"""TLS in front of a PostgreSQL whose build has none: answers the SSLRequest, then TLS to the client, plain text to the server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SSL_REQUEST_BYTES = 8


def server_context(folder: Path) -> ssl.SSLContext:
    """With a certificate of its own for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=2)).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@contextlib.asynccontextmanager
async def tls_in_front_of(port: int, folder: Path, certificate: Path | None = None) -> AsyncIterator[int]:
    """The proxy's port. ``certificate``: key and certificates in one PEM file; without, one that nobody has signed."""
    if certificate is None:
        context = server_context(folder)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(SSL_REQUEST_BYTES)
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
        except OSError:  # the client does not like the certificate
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        tasks.update(asyncio.create_task(t) for t in (pipe(reader, there_writer), pipe(there_reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def tls_beside(port: int, folder: Path, certificate: Path) -> Iterator[int]:
    """The same in a thread of its own, for tests that block."""
    ready, ended = threading.Event(), asyncio.Event()
    told: list[int] = []
    loop = asyncio.new_event_loop()

    async def stand() -> None:
        async with tls_in_front_of(port, folder, certificate) as door:
            told.append(door)
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(stand(),), name="tls")
    thread.start()
    try:
        assert ready.wait(10)
        yield told[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
