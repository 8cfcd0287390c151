"""Two labels on everything that a service tells, whoever scrapes it: ``tailrace_namespace`` and ``stage``.

They belong to the process, so no instrument has to know of them; ``namespace`` and ``service`` themselves are names that
Kubernetes' Prometheus gives its targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric


class LabelledRegistry(CollectorRegistry):
    """What another registry collects, with labels added where a sample has none of that name."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        super().__init__()
        self._inner = registry
        self._labels = dict(labels)

    def collect(self) -> Iterable[Metric]:
        """Metrics as they are exposed."""
        for family in self._inner.collect():
            made = Metric(family.name, family.documentation, family.type, family.unit)
            made.samples = [
                sample._replace(labels=self._labels | dict(sample.labels)) if sample.labels is not None else sample
                for sample in family.samples
            ]
            yield made
