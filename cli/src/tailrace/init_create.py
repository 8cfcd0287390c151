"""A destination that holds none of the tables: what is drafted makes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.job.spec import Destination, Job
from tailrace_shared.plan.create import destination_to_be
from tailrace_shared.plan.scope import ScopedTable

MADE_NOTE = "The destination holds none of these tables: the run makes them as the source has them (mode: create)."


def creating(
    head: Job, scope: Mapping[TableName, ScopedTable], source: Catalogue, destination: Catalogue
) -> tuple[Job, Catalogue]:
    """The job's head with the mode, and the destination to draft against: as it is, or as a run will have made it."""
    if not scope or any(destination.table(name) for name in scope):
        return head, destination
    made = head.destination.model_copy(update={"mode": "create"})
    return head.model_copy(update={"destination": made}), destination_to_be(scope, source, destination)


def as_if_empty(destination: Destination) -> Destination:
    """For planning a draft: whatever the destination's tables hold now is no matter of it."""
    return destination if destination.mode == "create" else destination.model_copy(update={"mode": "truncate"})


def destination_text(destination: Destination, url: str) -> str:
    """The job file's line."""
    constraints = "" if destination.mode == "create" else f", constraints: {destination.constraints}"
    return f"destination: {{url: {url}, mode: {destination.mode}{constraints}}}"
