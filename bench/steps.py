"""Where the services' time goes, by what they say of themselves at ``/metrics``."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

METRIC = "tailrace_batch_duration_seconds"
Steps = dict[tuple[str, str], float]
"""Service and step to seconds."""


def steps_of(run: str, ports: Mapping[str, int]) -> Steps:
    """Seconds per step of one run so far. A service that has left the run has taken its series along: it says nothing."""
    made: Steps = {}
    for service, port in ports.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == f"{METRIC}_sum" and sample.labels["run"] == run:
                    made[service, sample.labels["step"]] = sample.value
    return made
