"""A hot standby as the source of a one-shot run: it is read like a primary, and the preflight says what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.databases import DATABASES, Pair, make_pair
from support.installation import SHOP_CANARIES, Installation
from tailrace.app import create_app
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime


@pytest.fixture(scope="module")
def standby(runtime: Runtime, destination: EmbeddedPostgres) -> Iterator[Pair]:
    """A shop whose source is a copy of its primary that stays in recovery."""
    schema, rows = ((DATABASES / name).read_text() for name in ("shop.sql", "shop_rows.sql"))
    primary = runtime.start_postgres("standby-primary", fsync=False)
    pair = make_pair("standby", primary, destination, schema, f"\\set customers 500\n{rows}")
    primary.stop()
    ours, theirs = (runtime.directory / f"postgres-standby-{side}" for side in ("primary", "copy"))
    shutil.copytree(ours, theirs)
    for place in (theirs, *theirs.rglob("*")):
        status = (ours / place.relative_to(theirs)).stat()
        shutil.os.chown(place, status.st_uid, status.st_gid)  # type: ignore[attr-defined]
    (theirs / "cluster" / "standby.signal").touch()
    (theirs / "cluster" / "postmaster.pid").unlink(missing_ok=True)
    copy = EmbeddedPostgres(theirs, name="PostgreSQL (standby)", supervisor=runtime.supervisor, fsync=False)
    copy.start()
    yield replace(pair, source=copy)
    copy.stop()


def test_a_run_reads_a_standby(install: Callable[..., Installation], standby: Pair, shop_job: str) -> None:
    assert standby.value("source", "SELECT pg_is_in_recovery()")
    record = install(standby).run(shop_job)
    assert record.state == "done", record.failure or record.problems
    assert all(check.passed for check in record.checks)


def test_the_preflight_says_that_it_is_one_and_what_may_cancel_the_snapshot(
    standby: Pair, shop_job: str, tmp_path: Path
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate'))
    environment = {
        "SOURCE_URL": standby.source_url, "DESTINATION_URL": standby.destination_url, "SHOP_CANARIES": SHOP_CANARIES,
        "TAILRACE_MASK_SECRET": "a standby's own secret", "TAILRACE_KAFKA": None,
    }  # fmt: skip
    said = CliRunner().invoke(create_app(), ["check", str(job), "--json"], env=environment)
    found = {f"{f['area']} {f['name']}": f for f in json.loads(said.stdout)["findings"]}
    assert found["source snapshot"]["status"] == "ok"
    assert found["source standby"]["status"] == "warning"
    assert "hot_standby_feedback" in found["source standby"]["remedy"]
    assert said.exit_code == 0
