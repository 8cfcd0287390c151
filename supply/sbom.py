"""Bills of materials in CycloneDX 1.6, one for each thing that is shipped. The same source gives the same bytes."""

from __future__ import annotations

import uuid
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply.closure import ROOT, SHIPPED, Distribution, Known, closure
from supply.licences import expression

_JARS = ROOT / "cli/src/tailrace/embedded/kafka_jars.sha256"
_NAMESPACE = uuid.UUID("5b0e8a3e-6f64-4a5d-9a5f-0f2f0c6f4b11")
"""Of serial numbers, which say by their value what a bill is of."""


def bill(what: str) -> str:
    """The bill of one of ``SHIPPED``, as JSON."""
    distributions = closure(SHIPPED[what], Known())
    components = {name: _component(distribution) for name, distribution in distributions.items()}
    bom = Bom(components=components.values())
    bom.metadata.timestamp = None  # type: ignore[assignment]
    root = components[canonicalize_name(Requirement(SHIPPED[what][0]).name)]
    bom.metadata.component = Component(
        name=f"tailrace {what}", version=root.version, type=ComponentType.APPLICATION, bom_ref=f"shipped:{what}"
    )
    bom.register_dependency(
        bom.metadata.component, [components[canonicalize_name(Requirement(r).name)] for r in SHIPPED[what]]
    )
    for name, distribution in distributions.items():
        needs = {canonicalize_name(Requirement(r).name) for r in distribution.requires} & components.keys()
        bom.register_dependency(components[name], [components[need] for need in sorted(needs - {name})])
    if "Kafka" in what:
        for jar in _jars():
            bom.components.add(jar)
    seal = "\n".join(sorted(str(component.purl) for component in bom.components))
    bom.serial_number = uuid.uuid5(_NAMESPACE, f"{what}\n{seal}")
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def write(folder: Path) -> list[Path]:
    """All bills, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for what in SHIPPED:
        files.append(folder / f"{what.split()[0]}{'-embedded' if ' ' in what else ''}.cdx.json")
        files[-1].write_text(bill(what))
    return files


def _component(distribution: Distribution) -> Component:
    return Component(
        name=distribution.name,
        version=distribution.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, distribution.name, distribution.version),
        bom_ref=f"pypi:{distribution.name}",
        licenses=[LicenseFactory().make_from_string(expression(distribution))],
    )


def _jars() -> list[Component]:
    found = []
    for line in _JARS.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        digest, coordinate = line.split()
        group, artifact, version = coordinate.split(":")
        found.append(
            Component(
                name=artifact,
                group=group,
                version=version,
                type=ComponentType.LIBRARY,
                purl=PackageURL("maven", group, artifact, version),
                bom_ref=f"maven:{coordinate}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
                properties=[Property(name="tailrace:fetched", value="at the first start of the embedded broker")],
            )
        )
    return found
