"""The edge to PostgreSQL: direct sessions with fixed text formats, and errors that name the server but no password."""

from __future__ import annotations

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from tailrace_shared.errors import ExitCode, TailraceError, TerminalError, TransientError, UsageError
from tailrace_shared.postgres_errors import DRIVER_ERRORS, map_error, server_error, translated

__all__ = ["CONNECT_TIMEOUT_S", "DRIVER_ERRORS", "SESSION", "connect", "connect_replication", "map_error", "translated"]

CONNECT_TIMEOUT_S: Final = 15.0
"""A server that does not answer in this time is reported as unreachable: pods and firewalls drop packets silently."""

SESSION: Final[dict[str, str]] = {
    # One text form per value, whatever the server's defaults: kernels hash it.
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "IntervalStyle": "postgres",
    # How money is written, and read again: symbol, decimal point and digits after it.
    "lc_monetary": "C",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    # A policy that hides rows must be an error, not a smaller table.
    "row_security": "off",
    # Catalogue queries are short and look expensive to the planner: compiling them takes longer than running them.
    "jit": "off",
}

_UNTRUSTED: Final = (
    "shows a certificate that no authority we trust has signed",
    "Let sslrootcert name the certificate of the authority that signed the server's.",
)
_OTHER_NAME: Final = (
    "shows a certificate for another host",
    "Name the host as the certificate does, or give the server a certificate for this name.",
)
_CERTIFICATE: Final = {
    10: ("shows a certificate that has expired", "Renew the server's certificate."),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""By OpenSSL's verification codes (X509_V_ERR_…): expired, host name, address."""

_OTHER_BACKEND: Final = frozenset({"26000", "42P05", "08P01"})
"""A prepared statement that is not there, or is there already: another backend than the one that prepared it."""


async def connect(
    url: SecretStr, application_name: str, *, variable: str = "", timeout_s: float = CONNECT_TIMEOUT_S, **settings: str
) -> asyncpg.Connection:
    """A direct session with the text formats that Tailrace relies on.

    ``variable`` is the name of the variable that holds the URL, for error messages; ``settings`` are further session
    settings. Raises UsageError for what is no PostgreSQL URL, TransientError where the server cannot be reached,
    TerminalError where it refuses us or where a transaction pooler answers (its sessions lose locks, snapshots and settings
    between statements).
    """
    where = _where(url, variable)
    connection = await _open(url, application_name, where, timeout_s, settings)
    try:
        if await _pooled(connection, url, application_name, where, timeout_s, settings):
            raise TerminalError(
                "postgres.pooler",
                f"{where} is a pooler: locks, snapshots or session settings do not survive a statement there",
                "Name the server's own address and port, not the pooler's.",
                exit_code=ExitCode.UNAVAILABLE,
            )
    except BaseException:
        connection.terminate()
        raise
    return connection


async def connect_replication(
    url: SecretStr, application_name: str, *, variable: str = "", timeout_s: float = CONNECT_TIMEOUT_S
) -> asyncpg.Connection:
    """A walsender session with the same text formats; it takes no statement with arguments. Raises as ``connect``.

    A pooler refuses it by itself.
    """
    return await _open(url, application_name, _where(url, variable), timeout_s, {"replication": "database"})


def _where(url: SecretStr, variable: str) -> str:
    """The server in words, without user, password and options. Raises UsageError for what is no PostgreSQL URL.

    A password with a bare ``/``, ``?`` or ``#`` moves its rest to where a database's name belongs, so nothing of such a URL is
    repeated.
    """
    subject = f"the value of {variable or 'a database variable'}"
    try:
        parts = urlsplit(url.get_secret_value())
    except ValueError:  # brackets that do not close
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres"):
        raise UsageError(
            "postgres.url", f"{subject} is not a PostgreSQL URL", "Write postgresql://user:password@host:port/database."
        )
    login, _, hosts = parts.netloc.rpartition("@")
    if "@" in parts.path + parts.fragment or (not login and (":" in hosts or not hosts) and "@" in parts.query):
        raise UsageError(
            "postgres.url",
            f"{subject} has characters in its user or password that a URL does not take as they are",
            "Write @ as %40, / as %2F, ? as %3F, # as %23.",
        )
    if "," not in hosts and not _port_is_one(hosts):
        raise UsageError("postgres.url", f"{subject} has a port that is none", "Write a number from 1 to 65535.")
    named = f" (from {variable})" if variable else ""
    return f"database {parts.path.lstrip('/') or 'of the login name'} on {hosts or 'the local socket'}{named}"


def _port_is_one(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").port != 0
    except ValueError:
        return False


async def _open(
    url: SecretStr, application_name: str, where: str, timeout_s: float, settings: dict[str, str]
) -> asyncpg.Connection:
    error: TailraceError
    try:
        return await asyncpg.connect(
            dsn=url.get_secret_value(),
            timeout=timeout_s,
            server_settings=SESSION | {"application_name": application_name} | settings,
        )
    except Exception as cause:
        error = _connect_error(cause, where)
    raise error  # outside of the handler: what the driver raised has the URL in its frames, and must not hang on ours


def _connect_error(cause: Exception, where: str) -> TailraceError:
    if isinstance(cause, asyncpg.PostgresError):
        state = str(cause.sqlstate or "")
        refused: dict[str, tuple[str, str, str]] = {
            "28P01": ("password", f"{where} refuses the user name or password", "Check the URL's user and password."),
            "28000": ("login", f"{where} refuses this login", "Check the user, pg_hba.conf and sslmode."),
            "3D000": ("unknown-database", f"there is no such database: {where}", "Check the URL's last part."),
            "42501": (
                "privilege", f"the role may not connect: {where}",
                "GRANT CONNECT ON DATABASE … TO the role; docs/privileges.md lists what each mode needs.",
            ),
            "53300": (
                "connections", f"no connection is left: {where}",
                "Raise max_connections there, or the CONNECTION LIMIT of role and database, or use fewer replicas.",
            ),
            "08P01": ("pooler", f"{where} refuses session settings, as poolers do", "Name the server's own port."),
        }  # fmt: skip
        if state in refused:
            code, message, remedy = refused[state]
            kind = TransientError if state == "53300" else TerminalError
            return kind(f"postgres.{code}", message, remedy, exit_code=ExitCode.UNAVAILABLE)
        mapped = server_error(cause)
        return type(mapped)(mapped.code, f"{where}: {mapped.message}", mapped.remedy, exit_code=ExitCode.UNAVAILABLE)
    if isinstance(cause, ssl.SSLCertVerificationError):
        what, remedy = _CERTIFICATE.get(cause.verify_code, _UNTRUSTED)
        return TerminalError("postgres.tls", f"{where} {what}", remedy, exit_code=ExitCode.UNAVAILABLE)
    if isinstance(cause, FileNotFoundError | PermissionError) and "://" not in str(cause):
        return UsageError(
            "postgres.url", f"a file that the URL of {where} names is not there, or may not be read",
            "Check sslrootcert, sslcert and sslkey: they are paths where this service runs.",
        )  # fmt: skip
    if isinstance(cause, ssl.SSLError) or (isinstance(cause, ConnectionError) and "SSL" in str(cause)):
        return TerminalError(
            "postgres.tls", f"no TLS session with {where}",
            "Check sslmode and sslrootcert in the URL, and the server's certificate.", exit_code=ExitCode.UNAVAILABLE,
        )  # fmt: skip
    if isinstance(cause, socket.gaierror):
        return TransientError(
            "postgres.unknown-host", f"unknown host name: {where}", "Check the URL's host and the DNS."
        )
    if isinstance(cause, TimeoutError):
        return TransientError("postgres.timeout", f"no answer from {where}", "Check address, port and firewall.")
    if isinstance(cause, OSError):
        return TransientError(
            "postgres.unreachable", f"no connection to {where}", "Is it up, and are host and port right?"
        )
    if isinstance(cause, (asyncpg.InterfaceError, ValueError, OverflowError)):
        return UsageError("postgres.url", f"the URL of {where} has an invalid option", "Check its options.")
    return map_error(cause)


async def _pooled(
    connection: asyncpg.Connection,
    url: SecretStr,
    application_name: str,
    where: str,
    timeout_s: float,
    settings: dict[str, str],
) -> bool:
    """True where a pooler answers that does not give us one session of one server, with the settings that we asked for.

    A pooler invents the process id of the login message, so on a direct connection this costs one statement. Behind one,
    settings may have been dropped (``ignore_startup_parameters``: policies would hide rows, values have other texts), and
    a second client that opens a transaction gets the very backend that the first has just used, or pushes the first off.
    """
    with translated():
        try:
            backend = await connection.fetchval("SELECT pg_catalog.pg_backend_pid()")
        except asyncpg.PostgresError as error:
            if error.sqlstate in _OTHER_BACKEND:
                return True
            raise
        if backend == connection.get_server_pid():
            return False
        try:
            return not await _kept(connection) or await _shared(
                connection, url, backend, application_name, where, timeout_s, settings
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError):  # a pooler of statements ends the session at BEGIN
            return True


async def _kept(connection: asyncpg.Connection) -> bool:
    """Whether the session has the settings that we asked for."""
    names = list(SESSION)
    rows = await connection.fetch(
        "SELECT n, pg_catalog.current_setting(n) AS v FROM pg_catalog.unnest($1::text[]) n", names
    )
    return {row["n"]: row["v"] for row in rows} == SESSION


async def _shared(
    connection: asyncpg.Connection,
    url: SecretStr,
    backend: int,
    application_name: str,
    where: str,
    timeout_s: float,
    settings: dict[str, str],
) -> bool:
    """Whether another client gets the backend that the first has just used, or pushes it off."""
    other = await _open(url, application_name, where, timeout_s, settings)
    try:
        await other.execute("BEGIN")
        taken = await other.fetchval("SELECT pg_catalog.pg_backend_pid()")
        again = await connection.fetchval("SELECT pg_catalog.pg_backend_pid()")
        return bool(backend == taken or backend != again)
    finally:
        other.terminate()
