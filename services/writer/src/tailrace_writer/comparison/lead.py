"""The leader's part in a comparison: beside the run's own decisions, which it never delays."""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog

from tailrace_shared.errors import TailraceError
from tailrace_shared.messages import LeftOut, ReadToCompare
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import translated
from tailrace_shared.service.plans import Plans
from tailrace_writer.comparison import state
from tailrace_writer.comparison.view import (
    Begin,
    BeginAnew,
    ComparisonView,
    Conclude,
    GiveUp,
    decide_comparison,
)
from tailrace_writer.state.moves import Deposed, Seat
from tailrace_writer.state.read import Picture
from tailrace_writer.work import WorkTopic

READ = frozenset({"carry", "duplicate"})
"""Modes whose rows come from the source."""

log = structlog.get_logger()


class Comparing:
    """Looks at the run's newest comparison and brings it on."""

    def __init__(self, plans: Plans, work: WorkTopic) -> None:
        self._plans = plans
        self._work = work
        self.published: dict[str, Any] | None = None
        """What the run's record says of it."""

    async def turn(self, connection: asyncpg.Connection, seat: Seat, picture: Picture) -> None:
        """One look, and what follows of it. Raises mapped errors of the database; what else goes wrong is tried again."""
        if not picture.view.continuous or picture.lane is None:
            return
        with translated():
            row = await state.look(connection, seat.run)
            if row is None or (row["attempt"] != seat.attempt and row["state"] not in ("asked", "reading")):
                return
            self.published = state.progress_of_comparison(row).model_dump(mode="json")
            try:
                await self._act(connection, seat, row, picture)
            except Deposed:
                return
            except TailraceError as error:
                log.warning("comparison.again", run=seat.run, code=error.code, message=error.message)

    async def _act(self, connection: asyncpg.Connection, seat: Seat, row: Any, picture: Picture) -> None:
        if row["state"] not in ("asked", "reading"):
            return
        number, digest = row["number"], _digest(picture)
        view = _view(row, picture, same_plan=row["plan"] == digest)
        if view.source_done and view.destination_done and view.same_plan:
            tables = await state.compared(connection, row, await self._plans.fetch(seat.run, digest))
            view = _view(row, picture, same_plan=True, tables=tables)
        match decide_comparison(view):
            case Begin():
                await self._begin(connection, seat, row, picture, digest)
            case BeginAnew(why):
                log.warning("comparison.anew", run=seat.run, number=number, why=why)
                await state.begin_anew(connection, seat, number, why)
            case GiveUp(why):
                log.warning("comparison.failed", run=seat.run, number=number, why=why)
                await state.give_up(connection, seat, number, row["state"], why)
            case Conclude() as made:
                log.info("comparison.done", run=seat.run, number=number, equal=all(c.passed for c in made.checks))
                await state.conclude(connection, seat, row, made)

    async def _begin(self, connection: asyncpg.Connection, seat: Seat, row: Any, picture: Picture, digest: str) -> None:
        number = row["number"]
        plan = await self._plans.fetch(seat.run, digest)
        known = {f"{t['schema_name']}.{t['name']}": t for t in picture.tables}
        if unknown := sorted(set(row["asked"]) - known.keys()):
            await state.give_up(connection, seat, number, "asked", f"the run has no table {unknown[0]}")
            return
        tables, left = chosen(plan, known, row["asked"])
        if not tables:
            why = (
                f"no table can be compared: {left[0].table}: {left[0].why}"
                if left
                else "the run has no table to compare"
            )
            await state.give_up(connection, seat, number, "asked", why)
            return
        await state.begin(connection, seat, number, digest, tables, left)
        await self._work.send(
            [ReadToCompare(run=seat.run, attempt=seat.attempt, number=number, plan=digest, tables=tuple(tables))]
        )


def chosen(plan: Plan, known: dict[str, Any], asked: list[str]) -> tuple[list[int], list[LeftOut]]:
    """Numbers of the tables that are compared, and those that are not. ``known``: rows of the run's tables by name."""
    tables: list[int] = []
    left: list[LeftOut] = []
    for table in plan.tables:
        name = str(table.name)
        row = known.get(name)
        if row is None or (asked and name not in asked):
            continue
        if table.mode not in READ or not table.columns:
            if asked:
                left.append(LeftOut(table=name, why="no rows of it are carried"))
        elif row["state"] != "loaded":
            left.append(LeftOut(table=name, why=_why(row)))
        else:
            tables.append(table.number)
    return tables, left


def _why(row: Any) -> str:
    if row["state"] == "quarantined":
        return f"it is quarantined: {row['why']}" if row["why"] else "it is quarantined"
    return "it is being loaded"


def _digest(picture: Picture) -> str:
    """Of the plan that the run follows now."""
    return str(picture.row["revision"] or picture.row["digest"])


def _view(row: Any, picture: Picture, *, same_plan: bool, tables: Any = None) -> ComparisonView:
    alive = {r["replica"] for r in picture.live}
    told, cut = row["point"] is not None, row["cut_at"] is not None
    count = len(row["tables"])
    return ComparisonView(
        state=row["state"],
        run=picture.view.state if row["attempt"] == picture.view.attempt else "submitted",
        tries=row["tries"],
        readers=picture.view.readers,
        same_plan=same_plan,
        resync=picture.view.resync is not None,
        told=told,
        cut=cut,
        deserted=picture.view.deserted_at > picture.now - row["still_s"],
        reader_lives=row["reader"] in alive,
        owner_lives=row["owner"] in alive,
        trouble=row["trouble"],
        source_done=row["sources"] >= count,
        destination_done=row["destinations"] >= count,
        tables=tables,
        still_s=row["still_s"],
    )
