"""A run where nobody is trusted: Kafka with TLS, passwords and access lists, both databases with ``sslmode=verify-full``.

Each service comes as itself, with the rights that ``tailrace kafka-acls --apply`` gives it; who operates comes as the operator.
A continuous run needs all of them: it plans, loads, follows, loads a table again, and is stopped and verified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.certificates import Authority
from support.databases import Pair
from support.following import caught_up, let_follow, slots, streaming
from support.guarded import broker_config, broker_of, environment, listeners, written_passwords
from support.installation import ALL_SERVICES, Installation, eventually
from support.tls_proxy import tls_beside
from tailrace.embedded.runtime import Runtime
from tailrace_shared.messages import RunRecord

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@dataclass
class VerifiedPair(Pair):
    """A pair of databases whose URLs lead through TLS, and ask for it."""

    doors: tuple[int, int] = (0, 0)
    options: str = ""

    @property
    def source_url(self) -> str:
        return super().source_url.replace(f":{self.source.port}/", f":{self.doors[0]}/") + self.options

    @property
    def destination_url(self) -> str:
        return super().destination_url.replace(f":{self.destination.port}/", f":{self.doors[1]}/") + self.options


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Runtime, Authority]]:
    authority = Authority(tmp_path)
    with Runtime.in_temporary_directory(kafka_config=broker_config(authority), kafka_listeners=listeners()) as runtime:
        yield runtime, authority


class Operator:
    """``tailrace …`` typed by somebody with a Kafka user of their own, or by the cluster's administrator."""

    def __init__(self, given: dict[str, str]) -> None:
        self._environment = {**{k: v for k, v in os.environ.items() if not k.startswith("TAILRACE_")}, **given}

    def types(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments],
            env=self._environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def test_a_continuous_run_needs_no_more_rights_than_it_is_given(
    guarded: tuple[Runtime, Authority], new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path
) -> None:
    runtime, authority = guarded
    pair = new_shop("guarded", 300)
    let_follow(pair)
    certificate = authority.server("databases", "127.0.0.1")
    passwords = written_passwords(tmp_path / "passwords")
    broker = broker_of(runtime)
    with ExitStack() as doors:
        there = [
            doors.enter_context(tls_beside(s.port, tmp_path, certificate)) for s in (pair.source, pair.destination)
        ]
        verified = VerifiedPair(
            pair.name, pair.source, pair.destination, pair.password, (there[0], there[1]),
            f"?sslmode=verify-full&sslrootcert={authority.ca}",
        )  # fmt: skip
        identities = {
            party: dict(environment(broker, authority, f"guarded-{party}", file)) for party, file in passwords.items()
        }
        installation = Installation(runtime, verified, identities=identities, start=False)
        try:
            common = {"TAILRACE_NAMESPACE": installation.namespace}
            users = [f"--user={party}=guarded-{party}" for party in passwords]
            administrator = Operator(common | {"TAILRACE_KAFKA": broker.bootstrap})
            administrator.types("kafka-acls", "--apply", "--passwords", str(tmp_path / "passwords"), *users)
            for service in ALL_SERVICES:
                installation.scale(service, 1)
            operator = Operator(
                common
                | identities["operator"]
                | {"SOURCE_URL": verified.source_url, "DESTINATION_URL": verified.destination_url}
                | {"TAILRACE_MASK_SECRET": installation.secrets_given[1], "SHOP_CANARIES": "canary-mail.test"}
            )
            _whole_run(installation, operator, verified, shop_job, tmp_path / "job.yaml")
            assert "kafka.forbidden" not in installation.logs()
            pair.destination.run_sql("TRUNCATE customer, product, shipment CASCADE;", pair.name)
            _disguised(installation, identities["writer"], shop_job)
        finally:
            installation.group.stop()


def _whole_run(installation: Installation, operator: Operator, pair: Pair, job: str, file: Path) -> None:
    file.write_text(job.replace("version: 1\n", "version: 1\nmode: continuous\n"))
    looked = json.loads(operator.types("check", str(file), "--json"))
    assert looked["ready"], looked
    run = operator.types("run", str(file), "--detach").split()[0]
    streaming(installation, run)
    pair.source.run_sql("UPDATE customer SET balance = balance + 1; DELETE FROM shipment WHERE line = 1;", pair.name)
    caught_up(pair)
    operator.types("resync", run, "public.product")
    operator.types("stop", run)
    record: RunRecord = installation.wait(run)
    assert record.state == "done", record.failure
    assert record.checks
    assert all(check.passed for check in record.checks)
    assert slots(pair) == []
    for table in ("customer", "shipment", "product"):
        rows = f"SELECT count(*) FROM {table}"
        assert pair.value("source", rows) == pair.value("destination", rows)


def _disguised(installation: Installation, identity: dict[str, str], job: str) -> None:
    """A generator that comes as somebody else is refused, says so, and gets to see nothing."""
    installation.scale("generator", 0)
    (generator,) = installation.scale("generator", 1, **identity)
    run = installation.submit(job)

    def refusals() -> list[str]:
        log = (installation.folder / f"{generator.name}.log").read_text(errors="replace")
        return [line for line in log.splitlines() if "kafka.forbidden" in line]

    eventually(refusals, 60, "the generator says that it is refused")
    assert "generator.raw" in refusals()[0]
    installation.cancel(run)
    assert installation.wait(run).state == "cancelled"
