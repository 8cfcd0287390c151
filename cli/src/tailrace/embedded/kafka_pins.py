"""Print the table of pinned jars anew: ``python -m tailrace.embedded.kafka_pins > kafka_jars.sha256``.

Run it when the broker's version changes; it resolves the transitive set from POMs, which no start does.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from tailrace.embedded.kafka_jars import QUIET_LOGGING, SPEAKING_LOGGING, PinnedJar

ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", f"{QUIET_LOGGING}:1.7.36", f"{SPEAKING_LOGGING}:1.7.36")
"""Kafka 4.3 speaks slf4j-api 1.7, so the bindings are of that line."""
_RUNTIME_SCOPES = (None, "compile", "runtime")


def resolve_pins(repository: Path) -> list[PinnedJar]:
    """What ``ROOTS`` need at run time, sorted by coordinate; downloads into ``repository``."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository)
    direct, transitive = context.resolver.resolve([context.create_dependency(root) for root in ROOTS])
    artifacts = [d.artifact for d in (*direct, *transitive) if d.scope in _RUNTIME_SCOPES]
    pins = []
    for artifact in artifacts:
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        digest = hashlib.sha256(Path(artifact.resolve()).read_bytes()).hexdigest()
        pins.append(PinnedJar(coordinate, digest))
    return sorted(pins, key=lambda pin: pin.coordinate)


def main() -> None:
    out = sys.stdout
    out.write("# sha256  group:artifact:version — what `python -m tailrace.embedded.kafka_pins` resolved and printed; ")
    out.write("a jar that differs is not started.\n")
    with tempfile.TemporaryDirectory(prefix="tailrace-pins-") as folder:
        for pin in resolve_pins(Path(folder)):
            out.write(f"{pin.sha256}  {pin.coordinate}\n")


if __name__ == "__main__":
    main()
