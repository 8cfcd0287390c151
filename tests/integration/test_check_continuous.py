"""The preflight and the plan of a continuous job, with the rights that there are: nothing is made in the source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.databases import Pair
from support.following import let_follow
from support.installation import SHOP_CANARIES
from tailrace.app import create_app

ORPHAN = "tailrace_01jdc9abcdefghjkmnpqrstvwx_1"


def test_the_preflight_names_every_right_that_following_lacks_and_what_is_left_over(
    new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAILRACE_KAFKA", raising=False)
    pair = new_shop("preflight", 50)
    job = tmp_path / "job.yaml"
    job.write_text(shop_job.replace("version: 1\n", "version: 1\nmode: continuous\n"))
    environment = {
        "SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url, "SHOP_CANARIES": SHOP_CANARIES,
        "TAILRACE_MASK_SECRET": "a preflight's own secret",
    }  # fmt: skip

    def ask(*command: str) -> tuple[int, dict[str, Any]]:
        said = CliRunner().invoke(create_app(), [*command, str(job), "--json"], env=environment)
        return said.exit_code, json.loads(said.stdout)

    code, document = ask("check")
    found = [f for f in document["findings"] if f["name"] == "following"]
    assert code == 3
    assert {f["code"] for f in found} == {"capture.privilege", "plan.privilege"}
    assert any("does not own public.customer" in f["detail"] for f in found)
    code, document = ask("plan")
    assert code == 3
    assert "capture.privilege" in {p["code"] for p in document["problems"]}

    let_follow(pair)
    pair.source.run_sql(f"SELECT pg_create_logical_replication_slot('{ORPHAN}', 'pgoutput')", pair.name)
    code, document = ask("check")
    findings = document["findings"]
    assert code == 0, document
    assert [f["status"] for f in findings if f["name"] == "following"] == ["ok"]
    (left,) = [f for f in findings if f["name"] == "left over"]
    assert f"pg_drop_replication_slot('{ORPHAN}')" in left["remedy"]
    assert [f["status"] for f in findings if f["name"] == "session_replication_role"] == ["warning"]
    pair.source.run_sql(left["remedy"].split(": ", 1)[1], pair.name)
    code, document = ask("plan")
    assert code == 0
    assert pair.fetch("source", "SELECT 1 FROM pg_publication") == []


def test_a_publication_that_lacks_a_table_is_refused_before_anything_is_done(
    new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path
) -> None:
    pair = new_shop("publication", 10)
    let_follow(pair)
    pair.source.run_sql(
        "CREATE PUBLICATION ours FOR TABLE customer WITH (publish_via_partition_root = true)", pair.name
    )
    job = tmp_path / "job.yaml"
    job.write_text(shop_job.replace("version: 1\n", "version: 1\nmode: continuous\ncontinuous: {publication: ours}\n"))
    said = CliRunner().invoke(
        create_app(), ["plan", str(job), "--json"],
        env={"SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url},
    )  # fmt: skip
    assert said.exit_code == 3
    assert "capture.publication-tables" in {p["code"] for p in json.loads(said.stdout)["problems"]}
