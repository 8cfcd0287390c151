"""Which distributions each thing that we ship brings, from our manifests and from what is installed."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PLATFORM = {
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
}
"""What is shipped runs on Linux."""

SHIPPED: Mapping[str, tuple[str, ...]] = {
    "reader": ("tailrace-reader",),
    "generator": ("tailrace-generator",),
    "writer": ("tailrace-writer",),
    "trainer": ("tailrace-trainer[privacy]",),
    "command": ("tailrace",),
    "command with its own Kafka and PostgreSQL": ("tailrace[embedded,report]",),
}
"""Images, and the command as people install it, by what is installed for them."""


@dataclass(frozen=True)
class Distribution:
    """One of them."""

    name: str
    """Canonical."""
    version: str
    licence: str
    """As its metadata say it; ``licences.expression`` makes one expression of it."""
    classifiers: tuple[str, ...]
    requires: tuple[str, ...]
    ours: bool = False


class Known:
    """Looks distributions up: ours in the manifests, others as installed here, and those of ``elsewhere.toml``."""

    def __init__(self) -> None:
        manifests = [ROOT / "shared", ROOT / "cli", *sorted((ROOT / "services").iterdir())]
        loaded = [
            tomllib.loads((m / "pyproject.toml").read_text())["project"]
            for m in manifests
            if (m / "pyproject.toml").exists()
        ]
        self._ours: dict[str, dict[str, Any]] = {canonicalize_name(project["name"]): project for project in loaded}
        self._elsewhere = tomllib.loads((ROOT / "supply" / "elsewhere.toml").read_text())
        self._pinned = dict(_pins())

    def find(self, name: str, extras: frozenset[str]) -> Distribution:
        """Raises LookupError for what is neither ours, nor elsewhere, nor installed: install the development environment."""
        if name in self._ours:
            project = self._ours[name]
            optional = project.get("optional-dependencies", {})
            requires = [*project["dependencies"], *(r for extra in sorted(extras) for r in optional[extra])]
            return Distribution(name, project["version"], project["license"], (), tuple(requires), ours=True)
        if name in self._elsewhere:
            entry = self._elsewhere[name]
            return Distribution(name, self._pinned[name], entry["licence"], (), tuple(entry["requires"]))
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise LookupError(f"{name} is not installed here, and not in supply/elsewhere.toml") from None
        texts = found.metadata
        licence = _first(texts.get_all("License-Expression")) or _first(texts.get_all("License"))
        classifiers = tuple(c for c in texts.get_all("Classifier") or () if c.startswith("License"))
        return Distribution(name, found.version, licence, classifiers, tuple(found.requires or ()))


def closure(roots: tuple[str, ...], known: Known | None = None) -> dict[str, Distribution]:
    """Everything that installing these brings, by canonical name."""
    lookup = known or Known()
    met: dict[str, tuple[Distribution, frozenset[str]]] = {}
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        before = met.get(name)
        if before is not None and extras <= before[1]:
            continue
        extras |= before[1] if before else frozenset()
        found = lookup.find(name, extras)
        met[name] = (found, extras)
        waiting += [r for r in map(Requirement, found.requires) if _applies(r, extras)]
    return {name: found for name, (found, _) in sorted(met.items())}


def _first(values: list[str] | None) -> str:
    return values[0] if values else ""


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**PLATFORM, "extra": extra}) for extra in (*extras, ""))


def pinned() -> dict[str, str]:
    """Canonical name → version, of constraints.txt."""
    return dict(_pins())


def _pins() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        if version:
            yield canonicalize_name(name), version.strip()
