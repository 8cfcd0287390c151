"""The continuous demo from the first process to the last word: a destination that follows its source, masked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress

from tailrace.console import Output, duration
from tailrace.demo.databases import SOURCE, DemoDatabases, fill_to_follow
from tailrace.demo.dump import job_text
from tailrace.demo.follow_display import SidesDisplay, equal_tables, sides_display
from tailrace.demo.show import started
from tailrace.demo.sides import Sides
from tailrace.demo.traffic import URL
from tailrace.embedded.environment import plain_environment
from tailrace.execute import execute
from tailrace.follow import ended as over
from tailrace.interrupts import Interrupts
from tailrace.live import display
from tailrace.local import Installation
from tailrace.progress import Progress
from tailrace.runs import PublishedRuns, connect
from tailrace.summary import closing, exit_code
from tailrace_shared.errors import ExitCode, TerminalError
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.spec import Continuous, Job
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import RunRecord, StopRequested

PUBLICATION = "lower_environments"
"""Made by the demo, as a source's administrator would: so the reader's role needs to own nothing."""
COLUMN = "nickname"
CALM_S = 10.0
"""Between what happens, so that somebody can watch."""
AWAY_S = 5.0
"""The generator is away for so long."""
PATIENCE_S = 90.0


class Left(Exception):
    """The person went away."""


def follow_demo(output: Output) -> ExitCode:
    """Run the demo; everything it started is stopped when it returns, whatever happened."""
    job = parse_job(job_text(), "demo/job.yaml").model_copy(
        update={"mode": "continuous", "continuous": Continuous(publication=PUBLICATION, columns="mask")}
    )
    output.say(
        "[bold]tailrace demo --continuous[/bold]: a DVD rental chain goes on renting, and its [green]staging[/green] database "
        "follows, masked."
    )
    with ExitStack() as stack:
        databases, here = started(output, job, stack, lambda made: fill_to_follow(made, PUBLICATION))
        return asyncio.run(_Demo(output, job, here, databases).run())


class _Demo:
    """One showing."""

    def __init__(self, output: Output, job: Job, here: Installation, databases: DemoDatabases) -> None:
        self._output = output
        self._job = job
        self._here = here
        self._databases = databases
        self._latest: RunRecord | None = None
        self._interrupts = Interrupts()
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        """Of the sessions on both sides: one statement at a time."""
        self._whole = True
        """Every service has a replica, or should."""

    async def run(self) -> ExitCode:
        async with connect(Kafka(self._here.kafka), self._here.namespace) as runs:
            sides = await Sides.connect(self._databases)
            try:
                try:
                    record = await self._follow(runs, sides)
                except Left:
                    return ExitCode.INTERRUPTED
                self._output.say(closing(record))
                if record.state != "done":
                    self._output.note(f"The services' logs are in {self._here.keep_logs()}.")
                    return exit_code(record)
                return await self._compare(runs, sides)
            finally:
                await sides.close()

    async def _follow(self, runs: PublishedRuns, sides: Sides) -> RunRecord:
        """The run's last record. Raises Left."""
        with self._interrupts, sides_display(self._output) as shown:
            run = await runs.submit(self._job)
            watching = asyncio.create_task(self._watch(runs, run, sides, shown))
            acting = asyncio.create_task(self._act(runs, run, sides, shown))
            left = asyncio.create_task(self._interrupts.changed.wait())
            try:
                await asyncio.wait({watching, acting, left}, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    raise Left
                if acting.done():
                    acting.result()
                await watching
            finally:
                for task in (watching, acting, left):
                    task.cancel()
                await asyncio.gather(watching, acting, left, return_exceptions=True)
        assert self._latest is not None
        return self._latest

    async def _watch(self, runs: PublishedRuns, run: str, sides: Sides, shown: SidesDisplay) -> None:
        """Until the run has ended."""
        progress = Progress(time.monotonic())
        async with aclosing(runs.follow(run)) as records:
            async for record in records:
                self._latest = record or self._latest
                self._news.set()
                if self._whole:
                    self._here.require_alive()
                if self._latest is None:
                    continue
                view = progress.view(self._latest, time.monotonic())
                async with self._looking:
                    shown.show(view, await sides.look() if view.lane is not None else None)
                if over(self._latest):
                    return

    async def _act(self, runs: PublishedRuns, run: str, sides: Sides, shown: SidesDisplay) -> None:
        """What happens while the run follows, and its end."""
        await self._until(lambda r: r.state == "streaming" or r.terminal)
        async with _traffic(self._databases.cluster.url(SOURCE)):
            shown.message("traffic begins: customers come, rent, move house, take things back")
            await asyncio.sleep(CALM_S)
            await self._add_column(sides, shown)
            await asyncio.sleep(CALM_S / 2)
            await self._kill_generator(sides, shown)
            await asyncio.sleep(CALM_S / 2)
        shown.message("traffic ends")
        await self._caught_up(sides)
        await runs.ask(StopRequested(run=run))
        await self._until(lambda r: r.terminal)

    async def _add_column(self, sides: Sides, shown: SidesDisplay) -> None:
        async with self._looking:
            await sides.source.execute(f"ALTER TABLE public.customer ADD COLUMN {COLUMN} text")
            await sides.source.execute(
                f"UPDATE public.customer SET {COLUMN} = lower(left(first_name, 4)) || 'ie' WHERE customer_id BETWEEN 2 AND 20"
            )
            await sides.source.execute(f"UPDATE public.customer SET {COLUMN} = 'molly' WHERE customer_id = 1")
        shown.message(f"production: ALTER TABLE customer ADD COLUMN {COLUMN} text, and twenty customers get one")
        began = time.monotonic()
        newest = f"SELECT {COLUMN}, last_update FROM public.customer WHERE {COLUMN} IS NOT NULL ORDER BY last_update DESC LIMIT 1"
        while time.monotonic() - began < PATIENCE_S:
            async with self._looking:
                there = await sides.destination.fetchval(
                    "SELECT true FROM pg_catalog.pg_attribute WHERE attrelid = 'public.customer'::regclass AND attname = $1",
                    COLUMN,
                )
                theirs = await sides.destination.fetchrow(newest) if there else None
                ours = await sides.source.fetchrow(newest)
            if theirs is not None and ours is not None and theirs["last_update"] == ours["last_update"]:
                took = duration(time.monotonic() - began)
                shown.message(f"staging has it after {took}, masked: {ours[COLUMN]} is {theirs[COLUMN]} there")
                return
            await asyncio.sleep(0.2)
        raise TerminalError("demo.column", f"the column {COLUMN} has not come to the destination")

    async def _kill_generator(self, sides: Sides, shown: SidesDisplay) -> None:
        self._whole = False
        (generator,) = self._here.services.replicas("generator")
        generator.kill()
        shown.message("kill -9 of the only generator: production's WAL is read on, staging stands still")
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(self._here.services.scale, "generator", 1)
        self._whole = True
        began = time.monotonic()
        shown.message("another generator is there")
        await self._caught_up(sides)
        shown.message(f"caught up after {duration(time.monotonic() - began)}")

    async def _caught_up(self, sides: Sides) -> None:
        """Until the destination holds what the source has committed by now."""
        async with self._looking:
            wanted = await sides.position()
        until = time.monotonic() + PATIENCE_S
        while True:
            async with self._looking:
                if await sides.applied() >= wanted:
                    return
            if time.monotonic() > until:
                raise TerminalError("demo.behind", "the destination has not caught up with its source")
            await asyncio.sleep(0.1)

    async def _until(self, there: Callable[[RunRecord], bool]) -> None:
        while self._latest is None or not there(self._latest):
            self._news.clear()
            await self._news.wait()
        if self._latest.terminal:
            await asyncio.sleep(PATIENCE_S)  # the watcher ends first

    async def _compare(self, runs: PublishedRuns, sides: Sides) -> ExitCode:
        """Whether what was followed is what a snapshot of the source as it is now would be."""
        followed, left = await sides.digest(), await sides.left()
        self._output.note("the same job once, into the same tables emptied: a fresh masked snapshot to compare with")
        emptied = self._job.destination.model_copy(update={"mode": "truncate"})
        # The policy is for the column that was added: it has no rule.
        fresh_job = self._job.model_copy(update={"mode": "once", "destination": emptied, "policy": "mask"})
        _, ended = await execute(runs, fresh_job, display(self._output), check=self._here.require_alive)
        if ended is None:
            return ExitCode.INTERRUPTED
        if ended.record.state != "done":
            self._output.say(closing(*ended))
            return exit_code(ended.record)
        fresh = await sides.digest()
        self._output.say(equal_tables(followed, fresh))
        if left:
            self._output.say(f"[bold red]{left} slots or publications of ours are left in the source[/bold red]")
        return ExitCode.OK if followed == fresh and not left else ExitCode.FAILED


@asynccontextmanager
async def _traffic(url: str) -> AsyncIterator[None]:
    """The process that uses the source; it ends when its standard input does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace.demo.traffic",
        stdin=subprocess.PIPE, env={**plain_environment(os.environ), URL: url}, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(ProcessLookupError):
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
        if process.returncode:
            raise TerminalError("demo.traffic", f"the demo's traffic has ended with status {process.returncode}")
