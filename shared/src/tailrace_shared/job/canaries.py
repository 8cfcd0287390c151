"""Which variables a job may name as canaries: strings of the source, and never what a service keeps secret.

The writer looks a canary up in its own environment and says how often it is in the destination: a job that named a secret there
would send it to the destination's server, and could learn something about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

OWN_PREFIX: Final = "${TAILRACE_"
"""Variables of Tailrace itself: the mask secret's default name, the transport key, passwords of Kafka."""


def check_canaries(canaries: Iterable[str], named: Mapping[str, str]) -> None:
    """Raises ValueError that names the reference; ``named``: the job's other references, by field."""
    fields = {reference: field for field, reference in named.items()}
    for reference in canaries:
        what = fields.get(reference) or ("a setting of Tailrace" if reference.startswith(OWN_PREFIX) else "")
        if what:
            raise ValueError(
                f"canaries names {reference}, which is {what}: name a variable that holds strings of the source and nothing else"
            )
