"""*Did you mean …* for names in a job file."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(name: str, known: Iterable[str]) -> str:
    """The closest known name, if one is close, then everything that is known."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5) or [k for k in names if k.rpartition(".")[2] == name]
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}known: {', '.join(names)}"
