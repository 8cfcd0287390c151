"""Databases over TLS with ``sslmode=verify-full``: the right certificate passes, any other is refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from support.certificates import Authority
from support.tls_proxy import tls_beside
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.errors import TailraceError, TerminalError, UsageError
from tailrace_shared.postgres import connect, connect_replication


class Door:
    """A server behind certificates of one authority: the one for this address, the other for another host."""

    def __init__(
        self, server: EmbeddedPostgres, ports: dict[str, int], authority: Authority, stranger: Authority
    ) -> None:
        self._server, self._ports, self.authority, self.stranger = server, ports, authority, stranger

    def url(self, host: str, options: str) -> SecretStr:
        port = self._ports[host]
        return SecretStr(f"{self._server.url().replace(f':{self._server.port}/', f':{port}/')}?{options}")


@pytest.fixture(scope="module")
def door(source: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority(folder), Authority(folder, "stranger")
    right, wrong = authority.server("right", "127.0.0.1"), authority.server("wrong", "db.example")
    with tls_beside(source.port, folder, right) as here, tls_beside(source.port, folder, wrong) as there:
        yield Door(source, {"right": here, "wrong": there}, authority, stranger)


async def test_the_right_authority_and_host_pass_in_plain_and_replication_sessions(door: Door) -> None:
    url = door.url("right", f"sslmode=verify-full&sslrootcert={door.authority.ca}")
    connection = await connect(url, "tailrace/test")
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    replication = await connect_replication(url, "tailrace/test")
    await replication.close()


@pytest.mark.parametrize(
    ("host", "authority", "words"),
    [
        ("right", "stranger", "no authority we trust"),
        ("wrong", "authority", "for another host"),
        ("wrong", "stranger", "no authority we trust"),
    ],
)
async def test_another_authority_and_another_host_are_told_apart(
    door: Door, host: str, authority: str, words: str
) -> None:
    url = door.url(host, f"sslmode=verify-full&sslrootcert={getattr(door, authority).ca}")
    for opens in (connect, connect_replication):
        with pytest.raises(TerminalError) as caught:
            await opens(url, "tailrace/test", variable="SOURCE_URL")
        assert caught.value.code == "postgres.tls"
        assert words in caught.value.message
        assert "SOURCE_URL" in caught.value.message


async def test_another_host_passes_only_where_the_job_asks_for_less(door: Door) -> None:
    connection = await connect(door.url("wrong", f"sslmode=verify-ca&sslrootcert={door.authority.ca}"), "tailrace/test")
    await connection.close()


async def test_an_authority_file_that_is_not_there_is_said(door: Door, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        await connect(door.url("right", f"sslmode=verify-full&sslrootcert={tmp_path / 'none.pem'}"), "tailrace/test")
    assert caught.value.code == "postgres.url"
    assert "sslrootcert" in caught.value.remedy


async def test_a_server_without_tls_is_refused(source: EmbeddedPostgres, door: Door) -> None:
    url = SecretStr(f"{source.url()}?sslmode=verify-full&sslrootcert={door.authority.ca}")
    with pytest.raises(TailraceError) as caught:
        await connect(url, "tailrace/test")
    assert caught.value.code == "postgres.tls"
