"""Where words go: results to standard output, progress and errors to standard error, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

_PLAIN_WIDTH = 120
"""Columns where standard output is no terminal: tables in a log file should not be squeezed to rich's 80."""


class Output:
    """The two streams of one invocation. Made per command, so that redirected streams are seen."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = _console(sys.stdout.isatty(), stderr=False)
        self.err = _console(sys.stderr.isatty(), stderr=True)

    def say(self, *things: Any) -> None:
        """A result for a person; nothing when the result is asked for as JSON."""
        if not self.as_json:
            for thing in things:
                self.out.print(thing)

    def data(self, value: BaseModel | dict[str, Any] | list[Any]) -> None:
        """A result for a program: JSON alone on standard output, nothing when words are asked for."""
        if self.as_json:
            text = value.model_dump_json(indent=2) if isinstance(value, BaseModel) else json.dumps(value, indent=2)
            sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """What is going on, on standard error; rich markup is read."""
        self.err.print(text)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Something that takes seconds: a spinner on a terminal, one line elsewhere."""
        if self.err.is_terminal:
            with self.err.status(f"{text} …"):
                yield
        else:
            self.note(f"{text} …")
            yield

    def error(self, message: str, remedy: str = "", *, code: str = "") -> None:
        """What is wrong and what to do. Nothing in it is read as markup."""
        label = f" [dim]({escape(code)})[/dim]" if code else ""
        self.err.print(f"[bold red]error[/bold red]: {escape(message)}{label}")
        if remedy:
            self.err.print(f"[bold]remedy[/bold]: {escape(remedy)}")

    def trace(self, text: str) -> None:
        """A stack trace, as it is."""
        self.err.print(text, markup=False)


def _console(terminal: bool, *, stderr: bool) -> Console:
    """Soft wrap keeps a line of text whole in files and pipes; tables keep their own width."""
    if terminal:
        return Console(stderr=stderr, highlight=False)
    return Console(
        stderr=stderr, highlight=False, force_terminal=False, no_color=True, width=_PLAIN_WIDTH, soft_wrap=True
    )


def number(value: float) -> str:
    """``1,234,567``."""
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes in the unit that reads best: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
