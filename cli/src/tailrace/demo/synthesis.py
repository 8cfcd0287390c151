"""A demo of synthetic tables: members and their visits, learned from one database, drawn into another, and compared."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import asyncpg
from pydantic import SecretStr
from rich import box
from rich.table import Table

from tailrace.console import Output
from tailrace.demo.databases import DESTINATION, SOURCE, DemoDatabases, make_databases
from tailrace.demo.show import carry, environment, started
from tailrace.summary import closing, exit_code
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.spec import Job
from tailrace_shared.postgres import connect

PAGE = "demo-synthesis.html"
FIGURES = (
    ("members", "SELECT count(*)::text FROM member"),
    ("… who are students", "SELECT round(100 * avg((plan = 'student')::int), 1) || ' %' FROM member"),
    ("… age of students, of families", "SELECT string_agg(a, ', ') FROM (SELECT round(avg(age), 1)::text AS a FROM member "
     "WHERE plan <> 'standard' GROUP BY plan ORDER BY plan DESC) AS ages"),
    ("… median spent by students, by families", "SELECT string_agg(s, ', ') FROM (SELECT "
     "round((percentile_cont(0.5) WITHIN GROUP (ORDER BY spent))::numeric)::text AS s FROM member WHERE plan <> 'standard' "
     "GROUP BY plan ORDER BY plan DESC) AS middle"),
    ("… without an age", "SELECT round(100 * avg((age IS NULL)::int), 1) || ' %' FROM member"),
    ("… the most that one has spent", "SELECT max(spent)::text FROM member"),
    ("visits", "SELECT count(*)::text FROM visit"),
    ("… minutes in the sauna, in the pool", "SELECT string_agg(m, ', ') FROM (SELECT round(avg(minutes))::text AS m FROM visit "
     "WHERE room <> 'gym' GROUP BY room ORDER BY room DESC) AS rooms"),
    ("… of members who are there", "SELECT count(*)::text FROM visit JOIN member USING (member_id)"),
    ("… of a student, of somebody else", "SELECT string_agg(n, ', ') FROM (SELECT round(count(visit_id) / count(DISTINCT "
     "member_id)::numeric, 1)::text AS n FROM member LEFT JOIN visit USING (member_id) GROUP BY plan = 'student' "
     "ORDER BY plan = 'student' DESC) AS each"),
    ("… in the room of the one before", "SELECT round(100 * avg((room = former)::int)) || ' %' FROM (SELECT room, lag(room) OVER "
     "(PARTITION BY member_id ORDER BY day, visit_id) AS former FROM visit) AS ways WHERE former IS NOT NULL"),
    ("… days until the next", "SELECT round(avg(days), 1)::text FROM (SELECT lead(day) OVER (PARTITION BY member_id "
     "ORDER BY day) - day AS days FROM visit) AS gaps"),
)  # fmt: skip
"""What is compared: a name, and a query over either side."""


def synthesis_demo(output: Output) -> ExitCode:
    """Run the demo; everything it started is stopped when it returns, whatever happened."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            "demo.torch",
            "learning takes torch, and it is not installed here",
            "make demo-synthesis, or make torch before.",
        )
    job = parse_job(_text("club.yaml"), "demo/club.yaml")
    output.say(
        f"[bold]tailrace demo --synthesis[/bold]: the members of a club are learned from database [red]{SOURCE}[/red]; "
        f"as many others as you like come to [green]{DESTINATION}[/green]."
    )
    with ExitStack() as stack:
        databases, here = started(output, job, stack, fill_club, replicas={"trainer": 1, "generator": 2}, what="a club")
        ended = asyncio.run(carry(output, job, here))
        if ended is None:
            return ExitCode.INTERRUPTED
        output.say(closing(*ended))
        if ended.record.state != "done":
            output.note(f"The services' logs are in {here.keep_logs()}.")
            return exit_code(ended.record)
        output.say("", asyncio.run(_compared(databases)))
        found = asyncio.run(_page(output, job, databases))
        if found is not None:
            Path(PAGE).write_text(found, "utf-8")
            output.say(f"page {PAGE}: what is alike, and that nobody is in it")
        return exit_code(ended.record)


def fill_club(databases: DemoDatabases) -> None:
    """The club, with its rows in the source and without any in the destination."""
    structure = _text("club.sql")
    make_databases(databases, structure + _text("club_rows.sql"), structure)


async def _compared(databases: DemoDatabases) -> Table:
    """Both sides by the figures."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column(SOURCE, style="red", justify="right")
    table.add_column(DESTINATION, style="green", justify="right")
    sides: list[asyncpg.Connection] = []
    try:
        for url in (databases.source_url, databases.destination_url):
            sides.append(await connect(SecretStr(url), "tailrace/demo"))
        for name, query in FIGURES:
            table.add_row(name, *[str(await side.fetchval(query)) for side in sides])
    finally:
        for side in sides:
            await side.close()
    return table


async def _page(output: Output, job: Job, databases: DemoDatabases) -> str | None:
    """The page about both sides, where its packages are installed."""
    if importlib.util.find_spec("sklearn") is None:
        output.note("pip install 'tailrace[report]' adds a page that compares both sides.")
        return None
    from tailrace.planning import databases as ends_of
    from tailrace.planning import plan_of
    from tailrace.quality.assemble import assemble, wanted_of
    from tailrace.quality.page import page
    from tailrace.verification import as_if_empty

    environ = environment(databases)
    async with ends_of(job, environ) as ends:
        result = await plan_of(as_if_empty(job), ends, environ, whole=False)
        assert result.plan is not None, result.problems
        with output.busy("comparing both sides"):
            found = await assemble(
                job,
                ends,
                result.plan,
                list(result.plan.tables),
                wanted_of(5000, 1, [], [], []),
                k=10,
                run=None,
                why_no_run="",
            )
    return page(found)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()
