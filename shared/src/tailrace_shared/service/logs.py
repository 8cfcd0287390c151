"""Structured logs: JSON lines or console, with run, table and batch ids, and never a value.

An exception's text can hold a value (a driver's message, a parser's complaint), so only the text of our own errors is
logged; of any other exception the type and the places in the code. What a library says about an exception usually quotes it, so
that is not logged either.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from tailrace_shared.errors import TailraceError
from tailrace_shared.secrets import redact

Event = MutableMapping[str, Any]

_LIBRARIES = {
    "aiokafka": logging.WARNING,
    # A group's first use answers "coordinator not available" at ERROR a few times; the client retries by itself.
    "aiokafka.consumer.group_coordinator": logging.CRITICAL,
    "asyncio": logging.WARNING,
    "faststream": logging.ERROR,  # warns of topics that it may not create, which is what we want
    "uvicorn": logging.WARNING,
    "uvicorn.error": logging.WARNING,
}


def _exceptions(_: Any, __: str, event: Event) -> Event:
    """Replace exc_info by what may be shown of it."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and isinstance(info[1], BaseException):
        event.update(describe(info[1]))
    return event


def _unquoted(_: Any, __: str, event: Event) -> Event:
    """Replace a library's words about an exception: asyncio and FastStream, for two, quote its text in them."""
    if event.get("exc_info"):
        event["event"] = "library.exception"
    return event


def describe(error: BaseException) -> dict[str, Any]:
    """What may be logged of an exception."""
    said: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, TailraceError):
        said |= {"code": error.code, "message": error.message, "remedy": error.remedy}
    said["at"] = [
        f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)[-6:]
    ]
    if error.__cause__ is not None:
        said["because"] = type(error.__cause__).__name__
    return said


def _redacted(_: Any, __: str, event: Event) -> Event:
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}


def _lost(error: BaseException | None) -> None:
    """An exception that nobody can catch any more: in a finalizer or at the end of a thread."""
    if error is not None:
        structlog.get_logger().error("exception.lost", exc_info=error)


def configure(style: Literal["json", "console"], level: str, **bound: str) -> None:
    """Send everything, our logs and the libraries', to standard error in one form."""
    render: Any = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exceptions,
        _redacted,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(allow=()), _unquoted, *chain],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _exceptions, render],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _LIBRARIES.items():
        library = logging.getLogger(name)
        library.handlers.clear()  # one form for everything: some libraries bring a handler of their own
        library.propagate = True
        library.setLevel(quiet)
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=False,
    )
    sys.unraisablehook = lambda lost: _lost(lost.exc_value)  # their defaults print the exception's text
    threading.excepthook = lambda lost: _lost(lost.exc_value)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)
