"""Real parts, once per session: a Kafka broker, a source and a destination cluster. Tests use databases of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.databases import DATABASES, Pair, make_pair
from support.installation import Installation
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime, external_kafka


@pytest.fixture(scope="session")
def runtime() -> Iterator[Runtime]:
    """A broker (embedded, or those that TAILRACE_KAFKA names); everything is gone at the end."""
    with Runtime.in_temporary_directory(kafka=external_kafka()) as made:
        yield made


@pytest.fixture(scope="session")
def source(runtime: Runtime) -> EmbeddedPostgres:
    return runtime.start_postgres("source", fsync=False)


@pytest.fixture(scope="session")
def destination(runtime: Runtime) -> EmbeddedPostgres:
    return runtime.start_postgres("destination", fsync=False)


@pytest.fixture(scope="session")
def new_pair(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Callable[..., Pair]:
    """Makes a pair of databases: ``new_pair(name, schema, rows, owner=True)``."""

    def make(name: str, schema: str, rows: str = "", *, owner: bool = True) -> Pair:
        return make_pair(name, source, destination, schema, rows, owner=owner)

    return make


@pytest.fixture(scope="session")
def new_shop(new_pair: Callable[..., Pair]) -> Callable[..., Pair]:
    """Makes a shop database with that many customers (and eight times as many rows)."""
    schema = (DATABASES / "shop.sql").read_text()
    rows = (DATABASES / "shop_rows.sql").read_text()

    def make(name: str, customers: int = 2000, *, owner: bool = True) -> Pair:
        return new_pair(name, schema, f"\\set customers {customers}\n{rows}", owner=owner)

    return make


@pytest.fixture(scope="session")
def shop_job() -> str:
    return (DATABASES / "shop_job.yaml").read_text()


@pytest.fixture
def install(runtime: Runtime) -> Iterator[Callable[..., Installation]]:
    """Makes installations that are stopped when the test ends."""
    made: list[Installation] = []

    def start(pair: Pair, **options: object) -> Installation:
        made.append(Installation(runtime, pair, **options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for installation in made:
        installation.group.stop()


def shared_databases() -> Path | None:
    """A folder of real database dumps, where there is one: TAILRACE_TEST_DATA, or ``shared/data`` beside the checkout."""
    for folder in (os.environ.get("TAILRACE_TEST_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if folder and (Path(folder) / "databases").is_dir():
            return Path(folder) / "databases"
    return None
