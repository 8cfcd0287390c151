"""Logs say where and what kind, and never a value."""

from __future__ import annotations

import json
import logging
import sys
import threading

import pytest
import structlog

from tailrace_shared.errors import TerminalError
from tailrace_shared.service import logs


@pytest.fixture(autouse=True)
def _restore() -> object:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.unraisablehook, threading.excepthook
    yield None
    sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_foreign_exception_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "INFO", service="reader")
    try:
        raise ValueError("invalid value 'alice@example.com'")
    except ValueError:
        structlog.get_logger().exception("parse.failed", run="R")
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert line["run"] == "R"
    assert line["service"] == "reader"
    assert "alice" not in json.dumps(line)


def test_a_librarys_exception_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "INFO")
    try:
        raise RuntimeError("Key (email)=(alice@example.com) already exists")
    except RuntimeError:
        logging.getLogger("asyncpg").error("a statement failed", exc_info=True)
    (line,) = lines(capsys)
    assert line["error"] == "RuntimeError"
    assert "alice" not in json.dumps(line)


def test_a_librarys_words_that_quote_an_exception_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """As FastStream's middleware and asyncio's handler of tasks that nobody awaited say it."""
    logs.configure("json", "DEBUG")
    error = ValueError("invalid input syntax for type integer: alice@example.com")
    logging.getLogger("faststream").error(f"ValueError: {error}", exc_info=error)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %r", error, exc_info=error)
    said = lines(capsys)
    assert [(line["event"], line["error"]) for line in said] == [("library.exception", "ValueError")] * 2
    assert [line["logger"] for line in said] == ["faststream", "asyncio"]
    assert "alice" not in json.dumps(said)


def test_an_exception_at_the_end_of_a_thread_or_in_a_finalizer_is_logged_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json", "INFO")

    def fail() -> None:
        raise ValueError("alice@example.com")

    class Fails:
        def __del__(self) -> None:
            fail()

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Fails()
    assert [(line["event"], line["error"]) for line in lines(capsys)] == [("exception.lost", "ValueError")] * 2


def test_our_own_error_is_logged_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "INFO")
    structlog.get_logger().error("x", exc_info=TerminalError("a.code", "what is wrong", "what to do"))
    (line,) = lines(capsys)
    assert (line["code"], line["message"], line["remedy"]) == ("a.code", "what is wrong", "what to do")


def test_credentials_in_an_event_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "INFO")
    structlog.get_logger().info("connecting", url="postgresql://u:hunter2@h/d")
    assert "hunter2" not in json.dumps(lines(capsys))
