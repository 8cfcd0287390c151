"""The edge to PostgreSQL: sessions with fixed text formats, and the driver's errors mapped once to ours.

A mapped error carries SQLSTATE and names (table, column, constraint) and **never a value**: DETAIL, CONTEXT and HINT are
dropped, and so is the primary message except for the few SQLSTATEs whose message can only hold identifiers.
SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from tailrace_shared.errors import ExitCode, TailraceError, TerminalError, TransientError, UsageError

CONNECT_TIMEOUT_S: Final = 15.0
"""A server that does not answer in this time is reported as unreachable: pods and firewalls drop packets silently."""

SESSION: Final[dict[str, str]] = {
    # One text form per value, whatever the server's defaults: kernels hash it.
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
    # A policy that hides rows must be an error, not a smaller table.
    "row_security": "off",
    # Catalogue queries are short and look expensive to the planner: compiling them takes longer than running them.
    "jit": "off",
}


DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What the driver says when the server has ended a session while it was idle, before it notices the closed socket.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a call of the driver raises; ``map_error`` takes each of them."""


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
                f"{where} is a transaction pooler: locks, snapshots and settings do not survive a statement there",
                "Name the server's own address and port, not the pooler's.",
                exit_code=ExitCode.UNAVAILABLE,
            )
    except BaseException:
        connection.terminate()
        raise
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Driver errors inside become ours, with nothing of the original attached: a traceback could print its DETAIL."""
    try:
        yield
    except DRIVER_ERRORS as error:
        mapped = map_error(error)
        try:
            raise mapped from None
        finally:
            mapped.__context__ = None


def map_error(error: BaseException) -> TailraceError:
    """Our error for a driver's: TransientError where trying again can help, else TerminalError. Ours pass through."""
    if isinstance(error, TailraceError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        return _server_error(error)
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)):
        # Nearly always a connection that went away under us; a misuse would fail every retry and end the same way.
        return TransientError("postgres.connection", "the connection to PostgreSQL is closed", "Is the server up?")
    if isinstance(error, TimeoutError):
        return TransientError("postgres.timeout", "PostgreSQL did not answer in time", "Is it up and reachable?")
    if isinstance(error, OSError):
        return TransientError("postgres.connection", "the connection to PostgreSQL was lost", "Is it up and reachable?")
    return TerminalError("postgres.unexpected", f"unexpected {type(error).__name__} from the PostgreSQL driver")


# SQLSTATE or its class → (code, what happened); the longer key wins.
_TRANSIENT: Final[dict[str, tuple[str, str]]] = {
    "08": ("connection", "the connection to PostgreSQL was lost"),
    "40": ("serialization", "PostgreSQL rolled the transaction back in favour of another"),
    "40P01": ("deadlock", "PostgreSQL broke a deadlock"),
    "53": ("resources", "PostgreSQL is out of a resource"),
    "53100": ("disk-full", "PostgreSQL's disk is full"),
    "53300": ("connections", "PostgreSQL has no free connection slot"),
    "55P03": ("lock", "a lock could not be had in time"),
    "55006": ("in-use", "an object is in use by another session"),
    "57": ("interrupted", "PostgreSQL interrupted the statement"),
    "57014": ("cancelled", "the statement was cancelled or timed out"),
    "57P01": ("shutdown", "the session was terminated by an administrator or a shutdown"),
    "57P03": ("starting", "PostgreSQL is starting up or shutting down"),
    "58": ("system", "PostgreSQL met a system error"),
    "25P03": ("idle", "the session was idle in a transaction for too long"),
}
_TERMINAL: Final[dict[str, tuple[str, str]]] = {
    "22": ("data", "PostgreSQL refused a value"),
    "22001": ("too-long", "a value is too long for its column"),
    "22003": ("out-of-range", "a number is out of its column's range"),
    "22P02": ("bad-text", "a value is not of its column's type"),
    "22P04": ("bad-copy", "PostgreSQL could not read the COPY data"),
    "23": ("constraint", "a constraint is violated"),
    "23502": ("not-null-violation", "a NOT NULL column got a NULL"),
    "23503": ("foreign-key-violation", "a foreign key is violated"),
    "23505": ("unique-violation", "a unique constraint is violated"),
    "23514": ("check-violation", "a check constraint or a partition bound is violated"),
    "23P01": ("exclusion-violation", "an exclusion constraint is violated"),
    "25006": ("read-only", "the server or the transaction is read-only"),
    "26": ("statement", "a prepared statement is gone: a pooler may sit between Tailrace and the server"),
    "28": ("refused", "PostgreSQL refused the login"),
    "42": ("statement", "PostgreSQL refused a statement"),
    "42501": ("privilege", "a privilege is missing"),
    "42703": ("unknown-column", "a column does not exist"),
    "42P01": ("unknown-table", "a table does not exist"),
    "42P07": ("exists", "an object exists already"),
    "XX": ("internal", "PostgreSQL reported an internal error"),
}
_NAMES_ONLY: Final = frozenset({"42501", "42P01", "42703", "42704", "42P07", "42710", "3D000", "3F000", "55006"})
"""SQLSTATEs whose primary message holds identifiers only."""
_COPY_COLUMN: Final = re.compile(r'COPY ([^,"\n]+), line \d+, column ([^:,"\n]+)(?::|$)')
"""The start of CONTEXT of a failed COPY; the value comes after the colon and is never matched."""


def _server_error(error: asyncpg.PostgresError) -> TailraceError:
    state = str(getattr(error, "sqlstate", None) or "")
    names = _names(error)
    for table, kind in ((_TRANSIENT, TransientError), (_TERMINAL, TerminalError)):
        found = table.get(state) or table.get(state[:2])
        if found:
            return kind(f"postgres.{found[0]}", f"{found[1]}{names} (SQLSTATE {state})", _remedy(state))
    return TerminalError("postgres.error", f"PostgreSQL reported an error{names} (SQLSTATE {state or 'unknown'})")


def _names(error: asyncpg.PostgresError) -> str:
    """Names that the error is about, in words; never its DETAIL."""
    if error.sqlstate in _NAMES_ONLY:
        return f": {error.args[0]}" if error.args else ""
    table, column = getattr(error, "table_name", None), getattr(error, "column_name", None)
    copy = _COPY_COLUMN.match(getattr(error, "context", None) or "")
    if copy and not column:
        column, table = copy[2], table or copy[1]
    if table and getattr(error, "schema_name", None):
        table = f"{error.schema_name}.{table}"
    parts = [("table", table), ("column", column), ("constraint", getattr(error, "constraint_name", None))]
    said = [f"{what} {name}" for what, name in parts if name]
    return f": {', '.join(said)}" if said else ""


def _remedy(state: str) -> str:
    remedies = {
        "42501": "Grant it; docs/privileges.md lists what each mode needs.",
        "53100": "Free disk space on the server.",
        "53300": "Raise max_connections or lower the number of replicas.",
        "25006": "Name a primary server as destination.",
        "55P03": "Another session holds the lock; look at pg_stat_activity.",
    }
    return remedies.get(state, "")


def _where(url: SecretStr, variable: str) -> str:
    """The server in words, without user, password and options."""
    try:
        parts = urlsplit(url.get_secret_value())
        host, database = parts.hostname or "the local socket", parts.path.lstrip("/")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, host, database, port = None, "", "", ""
    if parts is None or parts.scheme not in ("postgresql", "postgres"):
        raise UsageError(
            "postgres.url",
            f"the value of {variable or 'a database variable'} is not a PostgreSQL URL",
            "Write postgresql://user:password@host:port/database.",
        )
    named = f" (from {variable})" if variable else ""
    return f"database {database or 'of the login name'} on {host}{port}{named}"


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
        raise error from None


def _connect_error(cause: Exception, where: str) -> TailraceError:
    if isinstance(cause, asyncpg.PostgresError):
        state = str(cause.sqlstate or "")
        refused: dict[str, tuple[str, str, str]] = {
            "28P01": ("password", f"{where} refuses the user name or password", "Check the URL's user and password."),
            "28000": ("login", f"{where} refuses this login", "Check the user, pg_hba.conf and sslmode."),
            "3D000": ("unknown-database", f"there is no such database: {where}", "Check the URL's last part."),
            "08P01": ("pooler", f"{where} refuses session settings, as poolers do", "Name the server's own port."),
        }  # fmt: skip
        if state in refused:
            code, message, remedy = refused[state]
            return TerminalError(f"postgres.{code}", message, remedy, exit_code=ExitCode.UNAVAILABLE)
        mapped = _server_error(cause)
        return type(mapped)(mapped.code, f"{where}: {mapped.message}", mapped.remedy, exit_code=ExitCode.UNAVAILABLE)
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
    if isinstance(cause, (asyncpg.InterfaceError, ValueError)):
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
    """True where a transaction pooler answers.

    A pooler invents the process id of the login message, so on a direct connection this costs one statement. Behind one,
    a second client that opens a transaction gets the very backend that the first has just used, or pushes the first off.
    """
    with translated():
        backend = await connection.fetchval("SELECT pg_catalog.pg_backend_pid()")
        if backend == connection.get_server_pid():
            return False
        other = await _open(url, application_name, where, timeout_s, settings)
        try:
            await other.execute("BEGIN")
            taken = await other.fetchval("SELECT pg_catalog.pg_backend_pid()")
            again = await connection.fetchval("SELECT pg_catalog.pg_backend_pid()")
            return bool(backend == taken or backend != again)
        finally:
            other.terminate()
