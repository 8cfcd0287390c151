"""The writer's own settings, beside those that all services share. Prefix ``TAILRACE_``."""

from __future__ import annotations

from pydantic import Field

from tailrace_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What the writer reads from its environment."""

    port: int = Field(8084, ge=0, le=65535)
    connections: int = Field(2, ge=1, le=64)
    """Sessions per run that load batches: the commit of one overlaps the COPY of another. A third gains nothing."""
    batches_in_hand: int = Field(3, ge=1, le=64)
    """Batches per run that are decoded and encoded at once: one ahead of the connections."""
    tick_s: float = Field(0.15, gt=0)
    """How often a leader looks at a run that is loading."""
    progress_s: float = Field(0.5, gt=0)
    """A run's progress is published at most so often."""
    lock_timeout_s: float = Field(5.0, gt=0)
    """Wait for fence or ledger before looking for stopped replicas that hold them."""
    index_builds: int = Field(2, ge=1, le=32)
    """Indexes that are rebuilt at once."""
    replan_s: float = Field(60.0, gt=0)
    """A plan task without answer is sent again after so long."""
    rerelease_s: float = Field(60.0, gt=0)
    """A range that nothing arrives of is released again after so long."""
    leak_timeout_s: float = Field(600.0, gt=0)
    """Longest that a reader takes for a leak question, by its setting of the same name: it is not asked again before."""
    leave_s: float = Field(30.0, gt=0)
    """How long a finished run's topics wait for members to leave before they are deleted all the same."""
    abandoned_s: float = Field(120.0, gt=0)
    """A run that this namespace does not know, whose topics are not on these brokers, and whose leader has been silent for so
    long, is ended: nobody else will. Longer than all writers of another installation may be away at once."""
    housekeeping_s: float = Field(5.0, gt=0)
    """How often consumed records are deleted from a loading run's topics, and abandoned runs are looked for."""
    history_days: float = Field(30.0, gt=0)
    """A run's record is removed from the topic of records so long after its end: each start of a service reads all that are there.
    Its row in the destination stays."""
    results_s: float = Field(3600.0, ge=0)
    """How long an ended run's outcome and checks stay among the metrics."""
    janitor_s: float = Field(60.0, gt=0)
    """How often left-over topics of finished runs are looked for."""
