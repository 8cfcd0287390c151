"""Canaries: strings of the source that must be nowhere in the destination.

They are original values, so a job, a plan and a run's row hold only the names of variables. Whoever checks looks them up in its
own environment: the writer at the end of a run, the command in ``tailrace verify``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from tailrace_shared.errors import UsageError
from tailrace_shared.secrets import name_of, resolve


def resolve_canaries(references: Iterable[str], environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The strings behind ``${NAME}`` references, one per line of each value; empty lines count for nothing.

    Raises UsageError that names the variable which is not set, or holds no string: a check that looks for nothing would pass.
    """
    environ = os.environ if environ is None else environ
    found: list[str] = []
    for reference in references:
        value = resolve(reference, environ).get_secret_value()
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        if not lines:
            name = name_of(reference)
            raise UsageError(
                "verify.no-canaries",
                f"{name}, which verify.canaries refers to, holds no string to look for",
                f"Put one string per line into {name} or the file that {name}_FILE names, or leave the reference out.",
            )
        found += lines
    return tuple(dict.fromkeys(found))
