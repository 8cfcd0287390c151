"""Which variables a condition may name, and their values where the source is read.

Never a secret: whoever may write a job could ask for it, bit after bit, by the rows that arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.conditions import ConditionError, variables
from tailrace_shared.secrets import lookup, name_of

Lookup = Callable[[str], str | None]
_OURS: Final = "TAILRACE_"
"""The mask secret's default name, the transport key, passwords of Kafka."""


def condition_lookup(job: Job, environ: Mapping[str, str]) -> Lookup:
    """Values in one environment, None for what is not set. The lookup raises UsageError for a secret's name, and for a file that
    cannot be read."""

    def find(name: str) -> str | None:
        if _secret(job, name):
            raise UsageError(
                "plan.where-variable", f"`where` names {name}, which holds a secret or a setting of Tailrace",
                "Take a variable that holds nothing but the value to compare with.",
            )  # fmt: skip
        return lookup(name, environ)

    return find


def condition_references(job: Job) -> tuple[str, ...]:
    """``${NAME}`` of all conditions of a job; what is no condition, or may not be asked for, is for planning to refuse."""
    found: set[str] = set()
    for rule in job.tables.values():
        with suppress(ConditionError):
            found |= variables(rule.where)
    return tuple(f"${{{name}}}" for name in sorted(found) if not _secret(job, name))


def _secret(job: Job, name: str) -> bool:
    return name.startswith(_OURS) or name in {name_of(r) for r in (job.source.url, job.destination.url, job.secret)}
