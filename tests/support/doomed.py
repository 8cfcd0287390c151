"""Three replicas of every service, of which one each dies by kill -9 with something half done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.installation import Installation

KILLED = {
    "reader": "reader.mid-range",
    "generator": "generator.after-send-before-commit:2",
    "writer": "writer.after-copy-before-commit:2",
}
SMALL_BATCHES = "limits: {rows_per_batch: 700}\n"
"""Beside a drafted job, so that every service has something half done when it dies."""


@contextmanager
def three_of_which_one_dies(installation: Installation, folder: Path) -> Iterator[None]:
    """Of three new replicas of a service, whichever comes first to its crash point dies; at the end exactly one of each has.

    None of those before is left: it might do all there is to do before the others have joined.
    """
    for service, point in KILLED.items():
        died = str(folder / f"a {service} has died")
        installation.scale(service, 0)
        installation.scale(service, 3, TAILRACE_CRASH_AT=point, TAILRACE_CRASH_ONCE=died)
    yield
    assert {service: len(installation.group.replicas(service)) for service in KILLED} == dict.fromkeys(KILLED, 2)
