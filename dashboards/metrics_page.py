"""``docs/metrics.md``, from the instruments themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from tailrace.quality.metrics_file import metrics_text
from tailrace.quality.model import QualityReport
from tailrace_shared.messages import ServiceName
from tailrace_shared.service.metrics import Metrics
from tailrace_writer.board import FAMILIES

QUALITY: Final = "tailrace_quality_"
SERVICES: Final[tuple[ServiceName, ...]] = ("reader", "generator", "writer", "trainer")

HEAD: Final = """# Metrics

Every service answers `/metrics` on its port, in Prometheus' text format. This page is generated (`make dashboards`) and checked
against the code. Every series has two labels more than the table says: `tailrace_namespace` (`TAILRACE_NAMESPACE`) and `stage`
(the service that tells), unless it has a `stage` of its own (whose replicas or topics it tells of).

No label and no value holds anything that was read from a row. Labels are bounded: runs are those that a service takes part in,
and for what outlives a run those that ended within `TAILRACE_RESULTS_S` (an hour), thirty at most; tables are the two hundred
largest and `(others)`; all other labels are closed sets. A run's instruments exist at zero from the moment in which a replica
joins it, and go when it leaves.

What several writers tell of a run is alike: take `max by (tailrace_namespace, run, …)`. Readers and writers both tell the
lag of a lane and its tables: the larger counts. The figures of `tailrace quality` are written by the command itself, as a file.
[Alerts](../compose/prometheus/rules/tailrace.yml), [runbooks](runbooks/README.md), [Running Tailrace](running.md).
"""


class Instrument(NamedTuple):
    """A metric family of a service."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def instruments(service: ServiceName) -> list[Instrument]:
    """Everything that a service of that kind can tell, by name."""
    registry = CollectorRegistry()
    Metrics(service, registry)
    KafkaPrometheusMiddleware(registry=registry, app_name=service, metrics_prefix="tailrace_control")
    labels = {
        collector._name: tuple(collector._labelnames)
        for collector in registry._collector_to_names
        if isinstance(collector, MetricWrapperBase)
    }
    found = [
        Instrument(_full(family.name, family.type), family.type, labels.get(family.name, ()), family.documentation)
        for family in registry.collect()
        if family.name.startswith("tailrace_")
    ]
    if service == "writer":
        found += [Instrument(f.name, "gauge", f.labels, f.text) for f in FAMILIES]
    return sorted(found)


def quality_instruments() -> list[Instrument]:
    """What the command writes into a file for the node exporter."""
    nothing = QualityReport.model_construct(job="", made_at="2026-01-01T00:00:00+00:00", tables=())
    families = text_string_to_metric_families(metrics_text(nothing))
    return sorted(Instrument(f.name, f.type, (), f.documentation) for f in families)


def exposed_names(found: Iterable[Instrument]) -> set[str]:
    """Names of series, as queries have them."""
    names = set()
    for instrument in found:
        endings = ("_bucket", "_sum", "_count") if instrument.kind == "histogram" else ("",)
        names |= {instrument.name + ending for ending in endings}
    return names


def metrics_page() -> str:
    """The page, one table for what all services tell and one for each service's own."""
    by_service = {service: instruments(service) for service in SERVICES}
    common = set.intersection(*(set(found) for found in by_service.values()))
    parts = [HEAD, _table("All services", sorted(common))]
    parts += [
        _table(f"Also the {service}", [i for i in found if i not in common])
        for service, found in by_service.items()
        if set(found) - common
    ]
    parts += [_table("Written by `tailrace quality --metrics`", quality_instruments(), labels=False)]
    return "\n".join(parts)


def _table(title: str, found: Iterable[Instrument], *, labels: bool = True) -> str:
    if not labels:
        rows = [f"| `{i.name}` | {i.kind} | {i.text} |" for i in found]
        return "\n".join([f"## {title}", "", "| metric | type | meaning |", "|---|---|---|", *rows]) + "\n"
    lines = [f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{i.name}` | {i.kind} | {', '.join(f'`{label}`' for label in i.labels) or '–'} | {i.text.replace('|', ',')} |"
        for i in found
    ]
    return "\n".join(lines) + "\n"


def _full(name: str, kind: str) -> str:
    return name + {"counter": "_total", "info": "_info"}.get(kind, "")
