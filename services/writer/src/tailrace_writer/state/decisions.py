"""What the leader can decide to do. Each is safe to do twice, and safe to be interrupted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tailrace_shared.messages import State
from tailrace_writer.state.view import RangeKey

Outcome = Literal["failed", "cancelled"]
Ending = Literal["failed", "cancelled", "stopped"]
"""How a run comes to its end: ``stopped`` is a continuous run's good one."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something comes; says for what."""

    what: str
    queued: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Make the run's topics, read the destination's catalogue, send the plan task."""


@dataclass(frozen=True, slots=True)
class Move:
    """A transition that changes nothing but the row."""

    source: State
    target: State


@dataclass(frozen=True, slots=True)
class EndStream:
    """streaming or paused → stopping, in good order: the lane is applied to its end."""

    source: State


@dataclass(frozen=True, slots=True)
class OrderResync:
    """Ask the reader that captures for a snapshot of these tables, and a plan of them in it; or, ``in_place``, for a plan that
    has their new columns, which needs none."""

    tables: tuple[int, ...]
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class BeginResync:
    """Accept the plan that was offered: the lane is held, the tables are emptied and laid out again, in one transaction."""

    number: int


@dataclass(frozen=True, slots=True)
class EndResync:
    """Everything is loaded: the tables follow the lane from their snapshot on, and the lane goes on."""

    number: int


@dataclass(frozen=True, slots=True)
class AbandonResync:
    """It cannot go on: what is not loaded stays in quarantine, and the lane goes on without it."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Settle:
    """stopping → verifying: the lane is at its end and everything is rebuilt; sequences and statistics follow."""


@dataclass(frozen=True, slots=True)
class Claim:
    """planned → preparing, with the claims on the destination's tables."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """preparing → loading: drop, truncate, lay out tables and ranges, all in one transaction under the fence."""


@dataclass(frozen=True, slots=True)
class Release:
    """Mark pending ranges released."""

    keys: tuple[RangeKey, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send the work items of released ranges; ``again`` where they were sent before."""

    keys: tuple[RangeKey, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class ReadSample:
    """Send the work items of these ranges of rows to learn from."""

    table: int
    ranges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadPools:
    """Send the work items of these tables' keys, which made rows refer to."""

    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Teach:
    """Name the trainer that is to learn a table."""

    table: int
    trainer: str


@dataclass(frozen=True, slots=True)
class KeepModel:
    """A model was learned, or the job names one: see that it is both kept and on the run's topic, and fits the plan."""

    table: int
    digest: str


@dataclass(frozen=True, slots=True)
class MarkDone:
    """Ranges that the ledger holds completely."""

    keys: tuple[RangeKey, ...]


@dataclass(frozen=True, slots=True)
class CompleteTables:
    """Tables all of whose ranges are done."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EndLoading:
    """loading → finishing, under the fence: from here on every batch is discarded."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Rebuild what was dropped, set sequences, analyze; then finishing → verifying."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Run the checks of the destination and ask the readers about leaks."""


@dataclass(frozen=True, slots=True)
class AskLeaks:
    """Ask again about columns that nobody has answered for."""

    columns: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """All answers are in: verifying → done, or record what failed."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Record a failure that the decider itself has found."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Stop:
    """→ stopping: what the attempt has loaded is truncated under the fence, in the transaction of the move."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Bring back what was dropped, before the next attempt or the end."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """stopping → failed or cancelled; the run's working rows go."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Restart:
    """Attempt + 1: truncate under the fence and start again from submitted."""

    because: str


@dataclass(frozen=True, slots=True)
class CleanUp:
    """The run is over: publish that, wait for members to leave, delete its topics."""


Decision: TypeAlias = (
    Wait
    | Plan
    | Move
    | EndStream
    | OrderResync
    | BeginResync
    | EndResync
    | AbandonResync
    | Settle
    | Claim
    | Prepare
    | Release
    | Send
    | ReadSample
    | ReadPools
    | Teach
    | KeepModel
    | MarkDone
    | CompleteTables
    | EndLoading
    | Finish
    | Verify
    | AskLeaks
    | Judge
    | Fail
    | Stop
    | Rebuild
    | Conclude
    | Restart
    | CleanUp
)
LONG = (
    Plan,
    EndStream,
    OrderResync,
    BeginResync,
    EndResync,
    AbandonResync,
    Settle,
    Claim,
    Prepare,
    KeepModel,
    EndLoading,
    Finish,
    Verify,
    AskLeaks,
    Judge,
    Stop,
    Rebuild,
    Conclude,
    Restart,
    CleanUp,
)
"""Decisions that take their time: they run beside the leader's loop, one at a time."""
