"""PostgreSQL's errors, mapped once to ours.

A mapped error carries SQLSTATE and names (table, column, constraint) and **never a value**: DETAIL, CONTEXT and HINT are
dropped, and so is the primary message except for the few SQLSTATEs whose message can only hold identifiers.
SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import structlog

from tailrace_shared.errors import TailraceError, TerminalError, TransientError

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What the driver says when the server has ended a session while it was idle, before it notices the closed socket.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a call of the driver raises; ``map_error`` takes each of them."""
_CLOSED: Final = re.compile(r"connection (is|was) (closed|being closed)")
"""What the driver says of a connection that went away under us."""
_MISUSED: Final = ("another operation is in progress", "manually started transaction")
"""What it says only where two tasks share a connection, or a transaction was left open: no lost connection leads there."""

log = structlog.get_logger()


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
        return server_error(error)
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return _client_error(error)
    if isinstance(error, TimeoutError):
        return TransientError("postgres.timeout", "PostgreSQL did not answer in time", "Is it up and reachable?")
    if isinstance(error, OSError):
        return TransientError("postgres.connection", "the connection to PostgreSQL was lost", "Is it up and reachable?")
    return TerminalError("postgres.unexpected", f"unexpected {type(error).__name__} from the PostgreSQL driver")


def _client_error(error: asyncpg.InterfaceError | asyncpg.InternalClientError) -> TailraceError:
    """The driver's own complaint: nearly always a connection that went away under us, now and then a mistake of ours.

    Its text may quote an argument, so only its type and our line of code are said, for everything but a closed connection.
    """
    said = str(error.args[0]) if error.args else ""
    if _CLOSED.search(said):
        return TransientError("postgres.connection", "the connection to PostgreSQL is closed", "Is the server up?")
    kind, place = type(error).__name__, _our_place(error)
    # The driver's errors about arguments and options are ValueErrors, too.
    if isinstance(error, ValueError) or any(words in said for words in _MISUSED):
        log.error("postgres.misuse", error=kind, at=place)
        return TerminalError(
            "postgres.misuse", f"the PostgreSQL driver was misused at {place} ({kind})", "Please report this."
        )
    log.warning("postgres.client-error", error=kind, at=place)
    return TransientError(
        "postgres.connection", f"the connection to PostgreSQL broke at {place} ({kind})", "Is the server up?"
    )


def _our_place(error: BaseException) -> str:
    """Module, function and line of our code that called the driver."""
    place = "an unknown place"
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".")[0].startswith("tailrace"):
            place = f"{module}.{frame.f_code.co_name}:{line}"
    return place


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
    "22021": ("encoding", "a text is not valid in its encoding"),
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


def server_error(error: asyncpg.PostgresError) -> TailraceError:
    """Our error for one that the server has sent."""
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
        "22021": "Repair the value, or exclude the table: databases in SQL_ASCII accept any bytes.",
        "22": "Compare the column's type on both sides, or give the column a generator whose values fit.",
        "23": "Drop the constraint from the destination, or give its columns generators whose values keep it.",
        "23502": "Allow NULL in the destination's column, or give it a generator that makes values.",
        "23505": "Drop the unique index where the source has none like it, or give its columns a generator that keeps them unique.",
        "28": "Correct user and password in the URL, and what pg_hba.conf lets in.",
        "42": "Look into the server's log, which quotes the statement.",
        "XX": "Look into the server's log.",
    }
    return remedies.get(state) or remedies.get(state[:2], "")
