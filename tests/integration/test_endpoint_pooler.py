"""PgBouncer before a database: told apart by what it does, whichever way it is set up. Needs the program ``pgbouncer``."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tailrace.embedded.ports import LOOPBACK, free_ports
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.errors import ExitCode, TerminalError
from tailrace_shared.postgres import SESSION, connect

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
START_SECONDS = 10.0

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@pytest.fixture
def pooler(source: EmbeddedPostgres, tmp_path: Path) -> Iterator[Callable[..., SecretStr]]:
    """Starts a pooler before the source's cluster; its URL. ``ignore``: it takes our session settings and drops them."""
    running: list[subprocess.Popen[bytes]] = []

    def start(mode: str, *, ignore: bool) -> SecretStr:
        (port,) = free_ports(1)
        users, settings = tmp_path / "users.txt", tmp_path / "pgbouncer.ini"
        users.write_text(f'"postgres" "{source.password}"\n')
        ignored = ", ".join(sorted({*SESSION, "options"})) if ignore else ""
        settings.write_text(
            f"[databases]\npostgres = host={LOOPBACK} port={source.port}\n[pgbouncer]\nlisten_addr = {LOOPBACK}\n"
            f"listen_port = {port}\nauth_type = plain\nauth_file = {users}\npool_mode = {mode}\nunix_socket_dir =\n"
            f"ignore_startup_parameters = {ignored}\n"
        )
        for place in (tmp_path, *tmp_path.parents[:2]):
            place.chmod(0o755)
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        running.append(
            subprocess.Popen([str(PROGRAM), *user, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((LOOPBACK, port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "pgbouncer does not answer"
                time.sleep(0.05)
        return SecretStr(f"postgresql://postgres:{source.password}@{LOOPBACK}:{port}/postgres")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(
    ("mode", "ignore", "exit_code"),
    [("transaction", True, 4), ("statement", True, 4), ("transaction", False, 4), ("session", False, 4)],
)
def test_a_pooler_is_refused_by_name_and_not_by_a_run_that_loses_its_locks(
    pooler: Callable[..., SecretStr], mode: str, ignore: bool, exit_code: ExitCode
) -> None:
    url = pooler(mode, ignore=ignore)
    with pytest.raises(TerminalError) as caught:
        asyncio.run(connect(url, "tailrace/test", variable="SOURCE_URL"))
    assert caught.value.code == "postgres.pooler"
    assert "SOURCE_URL" in caught.value.message
    assert caught.value.remedy
    assert caught.value.exit_code == exit_code


def test_a_session_pooler_that_drops_our_settings_is_not_taken_for_the_server(
    pooler: Callable[..., SecretStr],
) -> None:
    with pytest.raises(TerminalError) as caught:
        asyncio.run(connect(pooler("session", ignore=True), "tailrace/test", variable="SOURCE_URL"))
    assert caught.value.code == "postgres.pooler"


def test_a_session_pooler_that_keeps_what_we_set_is_as_good_as_the_server(
    pooler: Callable[..., SecretStr], source: EmbeddedPostgres
) -> None:
    """As one that applies them to the role: the pooler drops what it does not know, and the server has it already."""
    kept = "; ".join(f"ALTER ROLE postgres SET {name} = '{value}'" for name, value in SESSION.items())
    source.run_sql(kept)
    try:

        async def use() -> int:
            connection = await connect(pooler("session", ignore=True), "tailrace/test")
            try:
                return int(await connection.fetchval("SELECT 1"))
            finally:
                await connection.close()

        assert asyncio.run(use()) == 1
    finally:
        source.run_sql("ALTER ROLE postgres RESET ALL")
