"""What a started program sees of our environment: only what it needs, since ours may hold secrets of others."""

from __future__ import annotations

import os
from collections.abc import Mapping

_INHERITED = (
    *("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH"),
    *(
        "PYTHONPATH",
        "PYTHONHASHSEED",
        "PYTHONWARNINGS",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTUAL_ENV",
        "COVERAGE_PROCESS_START",
    ),
)
_INHERITED_PREFIXES = ("LC_",)
_OF_SERVICES = ("TAILRACE_PG_DUMP",)
"""Settings that are places on this machine, so that they hold for every service that runs on it."""

MALLOC_SETTINGS: Mapping[str, str] = {
    # Kafka buffers of 0.5-1 MB lie above glibc's mmap threshold: each would be mapped, faulted in and unmapped. These
    # two halve the client's CPU per byte (bytes; see mallopt(3)).
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}


def plain_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Paths, language and time zone; no setting and no secret."""
    return {
        name: value for name, value in environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def service_environment(
    common: Mapping[str, str], own_secrets: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """A service's whole environment; what is given wins over what is inherited."""
    places = {name: environ[name] for name in _OF_SERVICES if name in environ}
    return {**plain_environment(environ), **places, **MALLOC_SETTINGS, "PYTHONUNBUFFERED": "1", **common, **own_secrets}
