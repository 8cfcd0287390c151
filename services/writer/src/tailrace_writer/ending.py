"""How a run that failed or was cancelled ends: emptied, rebuilt, and said what could not be."""

from __future__ import annotations

import asyncpg

from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError
from tailrace_shared.messages import Failure, State
from tailrace_shared.postgres import translated
from tailrace_writer import undo
from tailrace_writer.state import decisions as do
from tailrace_writer.state import moves
from tailrace_writer.state.moves import Seat

_MADE = "SELECT prepared AND failure IS NOT NULL AND job->'destination'->>'mode' = 'create' FROM tailrace.run WHERE run = $1"


async def stop(
    connection: asyncpg.Connection, seat: Seat, state: State, outcome: do.Outcome, lock_timeout_s: float, *, empty: bool
) -> None:
    """→ stopping. Tables that the server does not let us empty any more are named in the run's failure, and left."""
    try:
        await undo.stop(connection, seat, state, outcome, lock_timeout_s, empty=empty)
    except TerminalError as error:
        await _remark(connection, seat, f"its tables could not be emptied: {error.message}")
        await undo.stop(connection, seat, state, outcome, lock_timeout_s, empty=False)


async def conclude(connection: asyncpg.Connection, seat: Seat, outcome: do.Outcome) -> None:
    """stopping → the end. What could not be rebuilt is named in the run's failure."""
    with translated():
        left = await connection.fetch(
            "SELECT kind, name, trouble FROM tailrace.ddl WHERE run = $1 AND trouble <> '' ORDER BY attempt, number",
            seat.run,
        )
    for row in left:
        if row["kind"] == "create":
            await _remark(
                connection, seat, f"{row['name']}, which the run has made, is still there: {row['trouble']}",
                f"Drop {row['name']} by hand.",
            )  # fmt: skip
            continue
        if row["kind"] == "append":
            table = f"tailrace.{row['name']}"
            await _remark(
                connection, seat, f"staging table {table} is still there: {row['trouble']}", f"Drop {table} by hand."
            )
            continue
        thing = f"{row['kind']} {row['name']}"
        remedy = f"Bring back {thing} by hand: its definition is kept in tailrace.ddl."
        await _remark(connection, seat, f"{thing} is not back: {row['trouble']}", remedy)
    if not left and await connection.fetchval(_MADE, seat.run):
        await _remark(connection, seat, "what it had made in the destination is gone again")
    await undo.conclude(connection, seat, "stopping", outcome)
    crash_point("leader.after-ledger-gone")


async def _remark(connection: asyncpg.Connection, seat: Seat, said: str, remedy: str = "") -> None:
    """Say what could not be undone, beside why the run failed."""
    with translated():
        known = await connection.fetchval("SELECT failure FROM tailrace.run WHERE run = $1", seat.run)
        failure = Failure.model_validate_json(known) if known else Failure(code="undo.incomplete", message="stopped")
        if said not in failure.message:
            remedy = " ".join(filter(None, (failure.remedy, remedy)))
            failure = failure.model_copy(update={"message": f"{failure.message}; {said}", "remedy": remedy})
            await moves.amend(connection, seat, "failure = $4", failure.model_dump_json())
