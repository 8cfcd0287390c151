"""What following asks of a source, and what is left over of runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tailrace.check_findings import Findings
from tailrace.check_following import check_left_over
from tailrace.following_source import SourceFacts, judge
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.job.spec import Continuous, Destination, Job, Source
from tailrace_shared.messages import RunRecord

JOB = Job(name="shop", mode="continuous", source=Source(url="${S}"), destination=Destination(url="${D}"))
READY = SourceFacts(
    standby=False, wal_level="logical", replication=True, slots_max=10, slots=2, senders_max=10, senders=1, keep_mb=1024,
    may_create=True, role="reader", database="shop",
)  # fmt: skip
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = "01JDC9ABCDEFGHJKMNPQRSTVWX"


def test_a_source_that_is_ready_has_nothing_against_it() -> None:
    assert judge(JOB, READY) == []


@pytest.mark.parametrize(
    ("facts", "code", "remedy"),
    [
        ({"standby": True}, "capture.standby", "primary"),
        ({"wal_level": "replica"}, "capture.wal-level", "wal_level = logical"),
        ({"replication": False}, "capture.privilege", 'ALTER ROLE "reader" REPLICATION'),
        ({"slots": 10}, "capture.no-slot", "max_replication_slots"),
        ({"senders": 10}, "capture.no-walsender", "max_wal_senders"),
        ({"may_create": False}, "plan.privilege", 'GRANT CREATE ON DATABASE "shop" TO "reader"'),
        (
            {"others": (TableName(schema_name="public", name="Order"),)},
            "plan.privilege",
            'ALTER TABLE "public"."Order" OWNER',
        ),
    ],
)
def test_what_is_missing_is_named_with_what_grants_it(facts: dict[str, Any], code: str, remedy: str) -> None:
    (problem,) = judge(JOB, READY._replace(**facts))
    assert (problem.severity, problem.code) == ("error", code)
    assert remedy in problem.remedy


def test_a_publication_of_somebody_elses_asks_for_no_ownership() -> None:
    named = JOB.model_copy(update={"continuous": Continuous(publication="ours")})
    others = (TableName(schema_name="public", name="customer"),)
    assert judge(named, READY._replace(may_create=False, others=others)) == []


class Session:
    """A source with some slots and publications."""

    def __init__(self, *names: tuple[str, str, bool]) -> None:
        self.rows = [{"name": name, "kind": kind, "active": active} for name, kind, active in names]

    async def fetch(self, query: str) -> list[dict[str, Any]]:
        return self.rows


async def left(runs: dict[str, RunRecord] | None, *names: tuple[str, str, bool]) -> list[tuple[str, str, str]]:
    found = Findings("source")
    await check_left_over(Session(*names), runs, found)  # type: ignore[arg-type]
    return [(f.status, f.detail, f.remedy) for f in found.all]


def run(state: str) -> dict[str, RunRecord]:
    given = {"run": RUN, "version": 1, "state": state, "job": JOB, "submitted_at": NOW, "updated_at": NOW}
    return {RUN: RunRecord.model_validate(given)}


async def test_what_belongs_to_no_run_that_goes_on_is_listed_with_the_statement_that_removes_it() -> None:
    ours = f"tailrace_{RUN.lower()}_1"
    assert (await left(run("streaming"), (ours, "slot", False)))[0][0] == "ok"
    ((status, detail, remedy),) = await left(run("done"), (ours, "slot", False))
    assert (status, "which is done" in detail) == ("warning", True)
    assert f"SELECT pg_drop_replication_slot('{ours}');" in remedy
    ((status, detail, remedy),) = await left({}, (ours, "publication", False))
    assert f'DROP PUBLICATION "{ours}";' in remedy
    assert "do not know" in detail
    assert "without brokers" in (await left(None, (ours, "slot", False)))[0][1]


async def test_a_slot_that_is_being_read_and_names_that_are_not_ours_are_left_alone() -> None:
    ours = f"tailrace_{RUN.lower()}_1"
    found = await left(None, (ours, "slot", True), ("tailrace_backup", "slot", False))
    assert [status for status, _, _ in found] == ["ok"]
