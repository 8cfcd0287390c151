"""Driver errors as ours: transient or terminal by SQLSTATE, names kept, values dropped; poolers told by their sessions."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tailrace_shared import postgres
from tailrace_shared.errors import TailraceError, TerminalError, TransientError, UsageError
from tailrace_shared.postgres import connect, map_error, translated


def server_error(state: str, message: str = "canary", **fields: str) -> asyncpg.PostgresError:
    """As the driver makes it from the server's message."""
    codes = {
        "schema_name": "s",
        "table_name": "t",
        "column_name": "c",
        "constraint_name": "n",
        "detail": "D",
        "context": "W",
    }
    return asyncpg.PostgresError.new({"C": state, "M": message} | {codes[k]: v for k, v in fields.items()})


@pytest.mark.parametrize(
    "state", ["08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"]
)
def test_what_may_go_away_by_itself_is_transient(state: str) -> None:
    assert isinstance(map_error(server_error(state)), TransientError)


@pytest.mark.parametrize("state", ["22P02", "23505", "23503", "42501", "42601", "0A000", "P0001", "XX000", "25006"])
def test_what_somebody_must_change_is_terminal(state: str) -> None:
    assert isinstance(map_error(server_error(state)), TerminalError)


def test_lost_connections_and_timeouts_are_transient_and_ours_pass_through() -> None:
    for error in (ConnectionResetError("canary"), TimeoutError(), asyncpg.InterfaceError("canary"), BrokenPipeError()):
        assert isinstance(map_error(error), TransientError)
        assert "canary" not in str(map_error(error))
    ours = TerminalError("code", "message")
    assert map_error(ours) is ours


@pytest.mark.parametrize(
    "said",
    [
        "connection is closed",
        "cannot perform operation: connection is closed",
        "cannot call Transaction.start(): the underlying connection is closed",
        "cannot perform operation: another operation is cancelling",
        "cannot rollback; the transaction is in error state",
    ],
)
def test_a_connection_that_went_away_under_us_is_transient(said: str) -> None:
    assert isinstance(map_error(asyncpg.InterfaceError(said)), TransientError)


@pytest.mark.parametrize(
    "misuse",
    [
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InterfaceError("cannot use Connection.transaction() in a manually started transaction"),
        asyncpg.exceptions._base.DataError("invalid input for query argument $1: 'canary' (an integer is required)"),
    ],
)
def test_a_misuse_of_the_driver_is_terminal_and_says_where_but_no_value(misuse: asyncpg.InterfaceError) -> None:
    made = {"misuse": misuse, "__name__": "tailrace_writer.somewhere"}
    exec("def careless():\n    raise misuse", made)
    with capture_logs() as logged, pytest.raises(TerminalError) as caught, translated():
        made["careless"]()  # type: ignore[operator]
    assert caught.value.code == "postgres.misuse"
    assert "tailrace_writer.somewhere.careless:2" in str(caught.value)
    assert [(line["event"], line["log_level"]) for line in logged] == [("postgres.misuse", "error")]
    assert "canary" not in str(caught.value) + str(logged)


def test_what_the_driver_says_otherwise_is_transient_and_logged_with_its_place() -> None:
    with capture_logs() as logged:
        error = map_error(asyncpg.InternalClientError("got result for unknown protocol state 3, canary"))
    assert isinstance(error, TransientError)
    assert [line["error"] for line in logged] == ["InternalClientError"]
    assert "canary" not in str(error) + str(logged)


def test_the_message_is_kept_only_where_it_can_hold_nothing_but_names() -> None:
    assert 'permission denied for table "t"' in str(map_error(server_error("42501", 'permission denied for table "t"')))
    for state in ("22P02", "23505", "42601", "22007", "P0001"):
        assert "canary" not in str(map_error(server_error(state, detail="canary", context="canary")))


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ('COPY orders, line 3, column total: "canary"', ", column total"),
        ("COPY orders, line 3, column total", ", column total"),
        ('COPY orders, line 3: "1,COPY x, line 1, column canary: y"', ""),
        ('COPY orders, line 3, column total: "x, column canary: "', ", column total"),
        ('SQL function "f" COPY x, line 1, column canary: y', ""),
    ],
)
def test_the_column_of_a_failed_copy_is_read_from_its_context_and_no_more(context: str, named: str) -> None:
    said = str(map_error(server_error("22P02", context=context)))
    assert "canary" not in said
    assert (", column" in said) == bool(named)
    assert named in said


def test_translated_errors_carry_nothing_of_the_driver_s() -> None:
    with pytest.raises(TerminalError) as caught, translated():
        raise server_error("23505", detail="Key (e)=(canary)", constraint_name="e_key", table_name="t", schema_name="s")
    assert caught.value.message == "a unique constraint is violated: table s.t, constraint e_key (SQLSTATE 23505)"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_what_is_not_the_driver_s_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError


class FakeConnection:
    """A session of a server or pooler: ``backends`` are the processes that serve its statements, one by one."""

    def __init__(self, told: int, backends: list[int], **dropped: str) -> None:
        self.told = told
        self.dropped = dropped
        self.backends = backends
        self.terminated = False

    def get_server_pid(self) -> int:
        return self.told

    async def fetchval(self, query: str) -> int:
        return self.backends.pop(0) if len(self.backends) > 1 else self.backends[0]

    async def fetch(self, query: str, names: list[str]) -> list[dict[str, str]]:
        return [{"n": name, "v": (postgres.SESSION | self.dropped)[name]} for name in names]

    async def execute(self, query: str) -> None:
        return None

    def terminate(self) -> None:
        self.terminated = True


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        (FakeConnection(7, [7]), FakeConnection(8, [8]), False),  # direct
        (FakeConnection(99, [7]), FakeConnection(98, [8]), False),  # a proxy, or a pooler of sessions
        (FakeConnection(99, [7, 9]), FakeConnection(98, [7]), True),  # the second took the first's backend
        (FakeConnection(99, [7, 9]), FakeConnection(98, [8]), True),  # the first was moved
        (FakeConnection(99, [7], row_security="on"), FakeConnection(98, [8]), True),  # settings were dropped
    ],
)
async def test_a_pooler_that_loses_sessions_or_settings_is_refused_and_a_proxy_is_not(
    monkeypatch: pytest.MonkeyPatch, first: FakeConnection, second: FakeConnection, refused: bool
) -> None:
    sessions = [first, second]

    async def opened(**_: Any) -> FakeConnection:
        return sessions.pop(0)

    monkeypatch.setattr(postgres.asyncpg, "connect", opened)
    if refused:
        with pytest.raises(TerminalError, match="is a pooler"):
            await connect(SecretStr("postgresql://host/db"), "tailrace/test")
        assert first.terminated
    else:
        assert await connect(SecretStr("postgresql://host/db"), "tailrace/test") is first
    assert second.terminated or second in sessions


@pytest.mark.parametrize(
    "password", ["ca/nary", "ca?nary", "ca#nary", "ca@na/ry", "ca@na#ry", "canary@", "ca:na/ry", "%zz/canary"]
)
async def test_a_password_that_breaks_the_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    async def refused(**_: Any) -> FakeConnection:
        raise ConnectionRefusedError

    monkeypatch.setattr(postgres.asyncpg, "connect", refused)
    with pytest.raises(TailraceError) as caught:
        await connect(SecretStr(f"postgresql://me:{password}@host/db"), "tailrace/test", variable="SHOP_URL")
    said = str(caught.value)
    assert "SHOP_URL" in said
    assert caught.value.__context__ is None
    assert not any(piece in said for piece in ("ca:", "na", "ry", "canary"))


@pytest.mark.parametrize("url", ["", "host", "http://x", "postgresql://[::1/db"])
async def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="SHOP_URL is not a PostgreSQL URL"):
        await connect(SecretStr(url), "tailrace/test", variable="SHOP_URL")


async def test_several_hosts_are_named_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(**_: Any) -> FakeConnection:
        raise ConnectionRefusedError

    monkeypatch.setattr(postgres.asyncpg, "connect", refused)
    with pytest.raises(TransientError, match="database db on a:5432,b:5433"):
        await connect(SecretStr("postgresql://me:x@a:5432,b:5433/db"), "tailrace/test")
