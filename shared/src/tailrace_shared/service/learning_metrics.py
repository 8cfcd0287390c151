"""Instruments of learning: a trainer's progress, and on the leader how many models a run lacks."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge

from tailrace_shared.messages import ServiceName

MODEL_STATES = ("sampling", "waiting", "learning", "ready")


class LearningMetrics:
    """By run and table; the series go with the run."""

    def __init__(self, service: ServiceName, gauge: Callable[..., Gauge], counter: Callable[..., Counter]) -> None:
        if service == "trainer":
            self.epoch = gauge("training_epoch", "Epochs that are behind.", "run", "table")
            self.loss = gauge("training_loss", "Nats per row that was held out.", "run", "table")
            self.remaining = gauge("training_remaining_seconds", "At most so long.", "run", "table")
        if service == "generator":
            self.rejected = counter(
                "rejected_rows", "Drawn rows that broke a rule of the job and were drawn again.", "run", "table"
            )
        if service == "writer":
            self.models = gauge("run_models", "Models of a run by state; waiting: nobody learns them.", "run", "state")
