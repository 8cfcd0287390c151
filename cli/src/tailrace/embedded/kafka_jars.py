"""The broker's jars: fetched by Maven coordinates, kept in the cache, checked by digest before every start.

The pinned table names the whole transitive set, so a start reads no POM; with a full cache it touches no network.
jgo checks a SHA-1 from the same server right after a download and only warns, hence the digests of our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tailrace.embedded.cache import exclusive
from tailrace_shared.errors import TerminalError, TransientError

QUIET_LOGGING = "org.slf4j:slf4j-nop"
SPEAKING_LOGGING = "org.slf4j:slf4j-simple"
"""Put on the class path instead of the quiet one when a broker died without a word."""

_PARALLEL_DOWNLOADS = 4
_HTTP_TIMEOUT_SECONDS = 30

Fetch = Callable[[Path, str], Path]
"""(repository folder, coordinate) → the file, downloaded when it was missing; raises OSError when it cannot."""


@dataclass(frozen=True, slots=True)
class PinnedJar:
    """One line of the table."""

    coordinate: str
    """``group:artifact:version``"""
    sha256: str

    def path(self, repository: Path) -> Path:
        """Where a Maven repository keeps this jar."""
        group, artifact, version = self.coordinate.split(":")
        return repository.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")

    def is_intact(self, repository: Path) -> bool:
        path = self.path(repository)
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256

    def provides(self, project: str) -> bool:
        """Whether this is a version of ``group:artifact``."""
        return self.coordinate.startswith(f"{project}:")


def parse_pins(text: str) -> tuple[PinnedJar, ...]:
    """Read lines ``sha256  group:artifact:version``; ``#`` begins a comment."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return tuple(PinnedJar(coordinate, sha256) for sha256, coordinate in lines)


def pinned_jars() -> tuple[PinnedJar, ...]:
    return parse_pins(files("tailrace.embedded").joinpath("kafka_jars.sha256").read_text())


def fetch_by_jgo(repository: Path, coordinate: str) -> Path:
    """Download one artifact from Maven Central into ``repository``."""
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise TerminalError(
            "embedded.no-jgo",
            "the embedded Kafka broker needs the package jgo, which is not installed",
            "pip install 'tailrace[embedded]', or name brokers by TAILRACE_KAFKA",
        ) from None
    import requests

    context = MavenContext(repo_cache=repository, timeout=_HTTP_TIMEOUT_SECONDS)
    try:
        return Path(context.create_dependency(coordinate).artifact.resolve())
    except (requests.RequestException, RuntimeError) as error:  # RuntimeError: no repository has it
        raise OSError(f"{type(error).__name__}: {error}") from error


def resolve_jars(
    cache: Path, pins: Iterable[PinnedJar] | None = None, *, logging: str = QUIET_LOGGING, fetch: Fetch = fetch_by_jgo
) -> list[Path]:
    """The class path of a broker, every file checked; safe when several processes call it at once.

    A missing, truncated or altered jar is downloaded; one that is wrong again right after that is refused.

    Raises:
        TransientError: a jar is missing and cannot be downloaded, or the cache stayed locked.
        TerminalError: a fresh download has the wrong digest, or jgo is not installed.
    """
    wanted = tuple(pins if pins is not None else pinned_jars())
    repository = cache / "maven"
    with exclusive(repository), ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        list(pool.map(lambda jar: _ensure(jar, repository, fetch), wanted))
    other = {QUIET_LOGGING, SPEAKING_LOGGING} - {logging}
    return [jar.path(repository) for jar in wanted if not any(jar.provides(project) for project in other)]


def _ensure(jar: PinnedJar, repository: Path, fetch: Fetch) -> None:
    for _ in range(2):  # an interrupted transfer deserves a second one; a third would bring the same
        if jar.is_intact(repository):
            return
        jar.path(repository).unlink(missing_ok=True)
        try:
            fetch(repository, jar.coordinate)
        except OSError as error:
            jar.path(repository).unlink(missing_ok=True)
            raise TransientError(
                "embedded.jar-unavailable",
                f"{jar.coordinate} cannot be downloaded from Maven Central ({error})",
                "check the network (HTTPS_PROXY is honoured), copy a filled cache to TAILRACE_CACHE, "
                "or name brokers by TAILRACE_KAFKA",
            ) from error
    if not jar.is_intact(repository):
        jar.path(repository).unlink(missing_ok=True)
        raise TerminalError(
            "embedded.jar-digest",
            f"{jar.coordinate} was downloaded twice and does not have its pinned SHA-256",
            "something between here and Maven Central alters downloads: find it, nothing was started",
        )
