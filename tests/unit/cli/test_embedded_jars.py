"""The broker's jars: what is checked, what is fetched again, what is refused."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from tailrace.embedded.kafka_jars import (
    QUIET_LOGGING,
    SPEAKING_LOGGING,
    PinnedJar,
    parse_pins,
    pinned_jars,
    resolve_jars,
)
from tailrace_shared.errors import TerminalError, TransientError

CONTENT = {"org.a:one:1.0": b"first jar", f"{QUIET_LOGGING}:1": b"quiet", f"{SPEAKING_LOGGING}:1": b"speaking"}
PINS = tuple(PinnedJar(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENT.items())


class Central:
    """A Maven repository that serves ``content`` and remembers what it was asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, repository: Path, coordinate: str) -> Path:
        self.asked.append(coordinate)
        (pin,) = [pin for pin in PINS if pin.coordinate == coordinate]
        path = pin.path(repository)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content[coordinate])
        return path


def test_a_full_cache_asks_nobody(tmp_path: Path) -> None:
    central = Central(CONTENT)
    resolve_jars(tmp_path, PINS, fetch=central)
    assert sorted(central.asked) == sorted(CONTENT)
    central.asked.clear()
    resolve_jars(tmp_path, PINS, fetch=central)
    assert central.asked == []


def test_a_truncated_jar_is_fetched_again(tmp_path: Path) -> None:
    central = Central(CONTENT)
    jars = resolve_jars(tmp_path, PINS, fetch=central)
    jars[0].write_bytes(b"first")
    central.asked.clear()
    assert resolve_jars(tmp_path, PINS, fetch=central)[0].read_bytes() == b"first jar"
    assert central.asked == ["org.a:one:1.0"]


def test_a_jar_that_is_wrong_after_two_downloads_is_refused_and_removed(tmp_path: Path) -> None:
    central = Central({**CONTENT, "org.a:one:1.0": b"something else"})
    with pytest.raises(TerminalError) as refused:
        resolve_jars(tmp_path, PINS, fetch=central)
    assert refused.value.code == "embedded.jar-digest"
    assert central.asked.count("org.a:one:1.0") == 2
    assert not PINS[0].path(tmp_path / "maven").exists()


def test_without_network_the_error_names_the_jar_and_the_remedy(tmp_path: Path) -> None:
    def unreachable(repository: Path, coordinate: str) -> Path:
        raise OSError("no route")

    with pytest.raises(TransientError, match=r"org\.a:one:1\.0.*TAILRACE_KAFKA"):
        resolve_jars(tmp_path, PINS[:1], fetch=unreachable)


def test_an_interrupted_download_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def interrupted(repository: Path, coordinate: str) -> Path:
        path = Central({coordinate: b"fir"})(repository, coordinate)
        raise OSError(f"connection reset while writing {path.name}")

    with pytest.raises(TransientError):
        resolve_jars(tmp_path, PINS[:1], fetch=interrupted)
    assert not PINS[0].path(tmp_path / "maven").exists()


@pytest.mark.parametrize(("logging", "absent"), [(QUIET_LOGGING, b"speaking"), (SPEAKING_LOGGING, b"quiet")])
def test_one_logging_binding_is_on_the_class_path(tmp_path: Path, logging: str, absent: bytes) -> None:
    contents = [jar.read_bytes() for jar in resolve_jars(tmp_path, PINS, logging=logging, fetch=Central(CONTENT))]
    assert len(contents) == 2
    assert absent not in contents


def test_two_at_once_download_each_jar_once(tmp_path: Path) -> None:
    central = Central(CONTENT)
    starters = [threading.Thread(target=resolve_jars, args=(tmp_path, PINS), kwargs={"fetch": central}) for _ in "ab"]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert sorted(central.asked) == sorted(CONTENT)


def test_the_shipped_table_pins_a_whole_broker() -> None:
    pins = pinned_jars()
    assert len({pin.coordinate for pin in pins}) == len(pins) > 40
    assert all(len(pin.sha256) == 64 for pin in pins)
    assert any(pin.coordinate == "org.apache.kafka:kafka_2.13:4.3.1" for pin in pins)
    for binding in (QUIET_LOGGING, SPEAKING_LOGGING):
        assert any(pin.provides(binding) for pin in pins)


def test_comments_and_empty_lines_in_the_table_mean_nothing() -> None:
    assert parse_pins("# heading\n\nab  g:a:1\n") == (PinnedJar("g:a:1", "ab"),)
    assert PinnedJar("org.x:a:1", "ab").path(Path("m")) == Path("m/org/x/a/1/a-1.jar")
