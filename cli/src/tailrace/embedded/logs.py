"""Reading the end of a log file, for error messages."""

from __future__ import annotations

from pathlib import Path

_TAIL_BYTES = 16_384


def last_lines(log: Path, count: int = 12) -> str:
    """The last lines of a file, or an empty text when there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-count:])
