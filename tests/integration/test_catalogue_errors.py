"""Errors of a real server, provoked with a canary: codes and names arrive, values never do."""

from __future__ import annotations

import io
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from tailrace.embedded.ports import free_ports
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.errors import ExitCode, TailraceError, TerminalError, TransientError, UsageError
from tailrace_shared.postgres import connect, translated

CANARY = "canary-7f3a"
TABLE = "CREATE TABLE public.t (id int PRIMARY KEY, e text UNIQUE CHECK (e <> 'no'), n numeric(4, 2) NOT NULL, u uuid)"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-errors-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            postgres.run_sql(f"{TABLE}; INSERT INTO t VALUES (1, '{CANARY}', 1)")
            yield postgres


@pytest.fixture
async def session(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url()), "tailrace/test")
    yield connection
    await connection.close()


def assert_silent(error: BaseException) -> None:
    """Neither the error, nor what hangs on it, nor a traceback of it holds the value."""
    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert CANARY not in shown
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("statement", "code", "names"),
    [
        (f"INSERT INTO t VALUES (2, '{CANARY}', 1)", "postgres.unique-violation", "table public.t, constraint t_e_key"),
        (f"INSERT INTO t VALUES (2, '{CANARY}2', NULL)", "postgres.not-null-violation", "table public.t, column n"),
        ("INSERT INTO t VALUES (2, 'no', 1)", "postgres.check-violation", "constraint t_e_check"),
        (f"INSERT INTO t VALUES (2, '{CANARY}3', 1, '{CANARY}')", "postgres.bad-text", ""),
        (f"SELECT '{CANARY}'::int", "postgres.bad-text", ""),
        (f"SELECT 1 FROM t WHERE e = '{CANARY}' AND nosuch = 1", "postgres.unknown-column", '"nosuch"'),
        (f"SELECT '{CANARY}' FROM nosuch", "postgres.unknown-table", '"nosuch"'),
        (f"DO $$ BEGIN RAISE EXCEPTION '{CANARY}' USING DETAIL = '{CANARY}'; END $$", "postgres.error", "P0001"),
    ],
)
async def test_a_failing_statement_is_named_without_its_values(
    session: asyncpg.Connection, statement: str, code: str, names: str
) -> None:
    with pytest.raises(TerminalError) as caught, translated():
        await session.execute(statement)
    assert caught.value.code == code
    assert names in caught.value.message
    assert_silent(caught.value)


@pytest.mark.parametrize(
    ("data", "code", "names"),
    [
        (f"2,x,{CANARY},\n", "postgres.bad-text", "table t, column n"),
        (f"2,x,1,{CANARY}\n", "postgres.bad-text", "table t, column u"),
        (f"2,{CANARY},1,\n", "postgres.unique-violation", "constraint t_e_key"),
        (f"2,{CANARY}\n", "postgres.bad-copy", ""),
        ("2,x,12345,\n", "postgres.out-of-range", "table t, column n"),
    ],
)
async def test_a_failing_copy_is_named_by_column_without_its_values(
    session: asyncpg.Connection, data: str, code: str, names: str
) -> None:
    with pytest.raises(TerminalError) as caught, translated():
        await session.copy_to_table("t", schema_name="public", source=io.BytesIO(data.encode()), format="csv")
    assert caught.value.code == code
    assert names in caught.value.message
    assert_silent(caught.value)


async def test_what_may_go_away_by_itself_is_transient(server: EmbeddedPostgres, session: asyncpg.Connection) -> None:
    await session.execute("SET statement_timeout = 50")
    with pytest.raises(TransientError, match="cancelled or timed out"), translated():
        await session.execute("SELECT pg_sleep(5)")
    server.run_sql(f"SELECT pg_terminate_backend({session.get_server_pid()})")
    with pytest.raises(TransientError), translated():
        await session.execute("SELECT 1")
    with pytest.raises(TransientError), translated():
        await session.execute("SELECT 1")


async def test_who_cannot_connect_is_told_which_variable_and_server_and_never_the_password(
    server: EmbeddedPostgres,
) -> None:
    (closed,) = free_ports(1)
    good = server.url()
    cases: list[tuple[str, type[TailraceError], str]] = [
        (server.url("postgres", "postgres", CANARY), TerminalError, "postgres.password"),
        (server.url(database="nosuch"), TerminalError, "postgres.unknown-database"),
        (f"postgresql://me:{CANARY}@127.0.0.1:{closed}/db", TransientError, "postgres.unreachable"),
        (f"postgresql://me:{CANARY}@host.invalid/db", TransientError, "postgres.unknown-host"),
        (f"{good}?sslmode=require", TerminalError, "postgres.tls"),
        (f"mysql://me:{CANARY}@127.0.0.1/db", UsageError, "postgres.url"),
        (f"postgresql://me:{CANARY}@127.0.0.1:99999/db", UsageError, "postgres.url"),
        (CANARY, UsageError, "postgres.url"),
    ]
    for url, kind, code in cases:
        with pytest.raises(kind) as caught:
            await connect(SecretStr(url), "tailrace/test", variable="SHOP_URL")
        assert (caught.value.code, "SHOP_URL" in str(caught.value)) == (code, True)
        assert caught.value.exit_code in (ExitCode.UNAVAILABLE, ExitCode.USAGE)
        assert CANARY not in str(caught.value)


async def test_a_session_has_fixed_text_formats_and_errors_where_a_policy_hides_rows(
    session: asyncpg.Connection,
) -> None:
    shown = await session.fetchrow(
        "SELECT '2024-02-03 04:05:06+02'::timestamptz::text, '1 day 2 hours'::interval::text, '\\x00ff'::bytea::text,"
        " 0.1::float8::text, current_setting('row_security'), current_setting('application_name')"
    )
    assert tuple(shown) == ("2024-02-03 02:05:06+00", "1 day 02:00:00", "\\x00ff", "0.1", "off", "tailrace/test")
