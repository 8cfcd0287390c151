"""The command end to end: an embedded run, the plan before it, the verification after it, and what tampering does to that."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from support.databases import Pair
from support.installation import SHOP_CANARIES
from tailrace.embedded.runtime import Runtime

RUN_SECONDS = 120


class Shell:
    """A person's shell: the job file, and an environment with its secrets."""

    def __init__(self, pair: Pair, job_file: Path, brokers: dict[str, str]) -> None:
        self.pair = pair
        self.job = str(job_file)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        secrets = {
            "SOURCE_URL": pair.source_url,
            "DESTINATION_URL": pair.destination_url,
            "TAILRACE_MASK_SECRET": "a shell's secret",
            "SHOP_CANARIES": SHOP_CANARIES,
        }
        self.environment = {**kept, **secrets, **brokers}

    def tailrace(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def verify(self) -> tuple[int, set[str]]:
        """Exit code and the names of the checks that failed."""
        code, out, err = self.tailrace("verify", self.job, "--json")
        assert out, err
        return code, {check["name"] for check in json.loads(out)["checks"] if not check["passed"]}

    def tamper(self, *statements: str) -> Callable[[], None]:
        """Change the destination behind Tailrace's back, without triggers and foreign keys; undone by what is returned."""
        undo: list[Any] = []

        async def change() -> None:
            connection = await asyncpg.connect(self.pair.destination.url(self.pair.name))
            try:
                await connection.execute("SET session_replication_role = replica")
                for table in ("customer", "order_line"):
                    undo.append((table, await connection.fetch(f"SELECT * FROM {table}")))
                for statement in statements:
                    done = await connection.execute(statement)
                    assert not done.endswith(" 0"), f"nothing was tampered with: {statement}"
            finally:
                await connection.close()

        async def restore() -> None:
            connection = await asyncpg.connect(self.pair.destination.url(self.pair.name))
            try:
                await connection.execute("SET session_replication_role = replica")
                for table, rows in undo:
                    await connection.execute(f"DELETE FROM {table}")
                    await connection.copy_records_to_table(table, records=[tuple(row) for row in rows])
            finally:
                await connection.close()

        asyncio.run(change())
        return lambda: asyncio.run(restore())


@pytest.fixture(scope="module")
def shell(
    runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str, tmp_path_factory: pytest.TempPathFactory
) -> Shell:
    job_file = tmp_path_factory.mktemp("command") / "job.yaml"
    job_file.write_text(shop_job)
    return Shell(new_shop("command", 500), job_file, runtime.kafka_settings)


@pytest.fixture(scope="module")
def loaded(shell: Shell) -> dict[str, Any]:
    """The destination after an embedded run; the run's last record."""
    code, out, err = shell.tailrace("run", shell.job, "--embedded", "--replicas", "generator=2", "--json")
    assert code == 0, out + err
    return json.loads(out)


def test_a_plan_before_the_run_finds_nothing_against_it_and_changes_nothing(shell: Shell) -> None:
    before = shell.pair.digest()
    code, out, err = shell.tailrace("plan", shell.job, "--json")
    assert code == 0, out + err
    assert {f"{t['name']['schema_name']}.{t['name']['name']}" for t in json.loads(out)["plan"]["tables"]} >= {
        "public.customer",
        "public.orders",
    }
    assert shell.pair.digest() == before


def test_an_embedded_run_ends_done_and_verified(loaded: dict[str, Any]) -> None:
    assert loaded["state"] == "done"
    assert loaded["checks"]
    assert all(check["passed"] for check in loaded["checks"])


def test_an_embedded_run_on_shared_brokers_leaves_no_topic_behind(
    loaded: dict[str, Any], runtime: Runtime, shell: Shell
) -> None:
    from tailrace_shared.kafka import Kafka, KafkaSettings

    async def topics() -> set[str]:
        async with Kafka(KafkaSettings(brokers=runtime.kafka_settings["TAILRACE_KAFKA"])).admin() as admin:
            return await admin.topics()

    assert not [topic for topic in asyncio.run(topics()) if topic.startswith("tailrace-")]


def test_a_plan_onto_a_full_destination_is_refused_with_a_remedy(shell: Shell, loaded: dict[str, Any]) -> None:
    code, out, _ = shell.tailrace("plan", shell.job)
    assert code == 3
    assert "remedy:" in out


def test_verification_from_outside_agrees_with_the_runs_own(shell: Shell, loaded: dict[str, Any]) -> None:
    assert shell.verify() == (0, set())
    own = {check["name"]: check["detail"] for check in loaded["checks"] if check["name"].startswith("leak ")}
    again = {
        check["name"]: check["detail"]
        for check in json.loads(shell.tailrace("verify", shell.job, "--json")[1])["checks"]
        if check["name"].startswith("leak ")
    }
    assert own == again
    assert "not measured" in own["leak public.orders.total"]


def test_a_report_is_signed_belongs_to_the_run_and_its_digest_sees_a_single_changed_value(
    shell: Shell, loaded: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    environment = shell.environment
    shell.environment = environment | {"TAILRACE_REPORT_KEY": "a key for reports"}
    restore: Callable[[], None] | None = None
    try:
        assert shell.tailrace("verify", shell.job, "--report", str(file))[0] == 0
        first = json.loads(file.read_text())
        assert shell.tailrace("report", str(file))[0] == 0
        restore = shell.tamper("UPDATE customer SET note = 'x' WHERE ctid = (SELECT min(ctid) FROM customer)")
        shell.tailrace("verify", shell.job, "--report", str(file), "--run", loaded["run"])
        second = json.loads(file.read_text())
    finally:
        shell.environment = environment
        if restore is not None:
            restore()
    report = first["report"]
    assert (first["signed"], report["passed"], report["run"]["run"]) == (True, True, loaded["run"])
    assert report["run"]["same_job"]
    assert [check["name"] for check in report["run"]["checks"]] == [check["name"] for check in loaded["checks"]]
    assert any(check["name"] == "catalogue" for check in report["run"]["checks"])
    differing = {
        table for table, digest in report["digest"]["tables"].items()
        if second["report"]["digest"]["tables"][table] != digest
    }  # fmt: skip
    assert differing == {"public.customer"}
    assert not any(canary in file.read_text() for canary in SHOP_CANARIES.split())


@pytest.mark.parametrize(
    ("statement", "failing"),
    [
        ("DELETE FROM order_line WHERE line = 1", "rows public.order_line"),
        (
            "UPDATE customer SET note = 'see canary-mail.test' WHERE ctid = (SELECT min(ctid) FROM customer)",
            "canaries public.customer",
        ),
        ("UPDATE order_line SET order_id = gen_random_uuid() WHERE line = 1", "foreign key"),
    ],
)
def test_what_was_tampered_with_is_named(shell: Shell, loaded: dict[str, Any], statement: str, failing: str) -> None:
    restore = shell.tamper(statement)
    try:
        code, failed = shell.verify()
    finally:
        restore()
    assert code == 1
    assert any(name.startswith(failing) for name in failed), failed


def test_original_values_in_a_masked_column_are_a_leak(shell: Shell, loaded: dict[str, Any]) -> None:
    originals = [
        row[0]
        for row in shell.pair.fetch("source", "SELECT DISTINCT email FROM customer WHERE email IS NOT NULL LIMIT 50")
    ]
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in originals)
    restore = shell.tamper(
        "UPDATE customer c SET email = o.name FROM (SELECT row_number() OVER () AS n, name FROM "
        f"unnest(ARRAY[{quoted}]) AS u(name)) o, (SELECT row_number() OVER () AS n, customer_id FROM customer) k "
        "WHERE k.n = o.n AND k.customer_id = c.customer_id"
    )
    try:
        code, failed = shell.verify()
    finally:
        restore()
    assert code == 1
    assert "leak public.customer.email" in failed
