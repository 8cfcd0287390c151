"""A plan that is refused beside a run which has the tables names that run: what it has dropped is no fault of the job."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from support.writing import ID_NAME, RUN, Database, job, plan, table
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.messages import PlanRefused, RunSubmitted
from tailrace_shared.plan.model import Problem
from tailrace_writer import prepare
from tailrace_writer.state.facts import apply_fact

OTHER = "01BRZ3NDEKTSV4RRFFQ69G5FAV"
PLAN = plan(table(0, "parent", ID_NAME), table(1, "child", ID_NAME))


def problem(where: str, severity: str = "error") -> Problem:
    return Problem.model_validate(
        {"severity": severity, "code": "plan.not-empty", "where": where, "message": "it has rows"}
    )


@pytest.fixture
async def connection(
    destination: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """Run RUN has claimed both tables; run OTHER is submitted."""
    database = Database(destination)
    database.create("CREATE TABLE parent (id int); CREATE TABLE child (id int); CREATE TABLE parents (id int)")
    monkeypatch.setenv("DESTINATION_URL", database.url)
    made = await database.destination().connect()
    seat = await database.submit(made)
    await prepare.claim(made, seat, PLAN)
    await apply_fact(made, RunSubmitted(run=OTHER, job=job(), at=datetime.now(UTC)))
    yield made
    await made.close()


async def refusal(connection: asyncpg.Connection, *problems: Problem) -> dict[str, str]:
    await apply_fact(connection, PlanRefused(run=OTHER, attempt=1, problems=problems, replica="reader-1"))
    failure: dict[str, str] = json.loads(
        await connection.fetchval("SELECT failure FROM tailrace.run WHERE run = $1", OTHER)
    )
    return failure


@pytest.mark.parametrize("where", ["public.parent", "public.parent.name", "public.parent foreign key k"])
async def test_an_error_about_a_table_that_another_run_has_names_that_run(
    connection: asyncpg.Connection, where: str
) -> None:
    said = await refusal(connection, problem(where), problem("public.child"))
    assert said["code"] == "claim.taken"
    assert RUN in said["message"]
    assert f"tailrace cancel {RUN}" in said["remedy"]
    assert "the plan has 2 problems" in said["message"]


@pytest.mark.parametrize("where", ["public.parents", "shop", "other.parent"])
async def test_an_error_about_anything_else_is_the_plans_own(connection: asyncpg.Connection, where: str) -> None:
    said = await refusal(connection, problem(where), problem("public.parent", severity="warning"))
    assert said["code"] == "plan.refused"
    assert RUN not in said["message"]
