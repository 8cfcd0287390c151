"""Which format a message of the standing topics has: every one of them says it in a header, and another one is refused by name.

A release that changes the messages on ``jobs``, ``facts`` or ``tasks`` so that its predecessor would misunderstand them raises
``CONTROL_FORMAT``; names of topics, and with them rights, groups and offsets, stay. What is on a run's own topics has the format
of the run's plan (``PLAN_VERSION``): those topics live as long as the run, and nobody joins it who does not speak its plan's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tailrace_shared.errors import TerminalError

CONTROL_FORMAT = 1
HEADER = "format"
_FIRST = "1"
"""Of a message that does not say: the first format, before it was said."""


def format_of(headers: Mapping[str, str | bytes] | Iterable[tuple[str, bytes]]) -> str:
    """What a message says of its format."""
    given = dict(headers).get(HEADER, _FIRST)
    return given.decode("ascii", "replace") if isinstance(given, bytes) else given


def is_foreign(headers: Mapping[str, str | bytes] | Iterable[tuple[str, bytes]]) -> bool:
    """Whether another release wrote it, in a format that this one does not know."""
    return format_of(headers) != str(CONTROL_FORMAT)


def refusal(topic: str, headers: Mapping[str, str | bytes] | Iterable[tuple[str, bytes]]) -> TerminalError:
    """What is said of such a message: ``control.format``."""
    told = format_of(headers)
    named = told if told.isdecimal() and len(told) < 10 else "that is no number"
    return TerminalError(
        "control.format",
        f"a message on {topic} has format {named}, this release knows {CONTROL_FORMAT}: it is left out",
        "Run one release of all services and of the command; docs/upgrade.md has the order.",
    )
