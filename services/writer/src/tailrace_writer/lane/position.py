"""Where a lane stands, and what to do with the next record: a pure decision from commit LSNs.

Records form a chain. A record that follows on what the destination holds is applied; one that it holds already is skipped; one
that begins before it and ends after it (another capture has cut the same transactions otherwise) is applied without the
transactions that are there; one that begins after it means that changes are missing, and nothing but a new load is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tailrace_shared.changes.head import ChangeHead


@dataclass(frozen=True, slots=True)
class Position:
    """What the destination holds of a lane, and the pieces of a transaction that is under way."""

    system: str
    timeline: int
    lsn: int
    """Commit LSN of the last source transaction that is applied."""
    pieces: tuple[int, int, int] | None = None
    """(last, next piece, sequence of the piece before) of a transaction of which some pieces are applied and not committed."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply the record's transactions above ``above``; ``after`` is the position then."""

    above: int
    after: Position


@dataclass(frozen=True, slots=True)
class Skip:
    """The destination holds it."""


@dataclass(frozen=True, slots=True)
class Again:
    """The transaction under way begins anew: roll back what was applied of it, then judge the record once more."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes are missing."""

    code: str
    why: str


Verdict = Apply | Skip | Again | Gap


def judge(position: Position, head: ChangeHead) -> Verdict:
    """What to do with a record."""
    if head.system != position.system:
        return Gap("timeline", "the changes come from another server than the one that was loaded")
    if head.timeline < position.timeline or head.last <= position.lsn:
        return Skip()
    if position.pieces is not None:
        return _within(position, *position.pieces, head)
    if head.previous > position.lsn:
        return Gap(
            "gap",
            f"the lane goes on at {lsn_text(head.previous)}, the destination holds it up to {lsn_text(position.lsn)}",
        )
    if head.timeline > position.timeline and head.previous < position.lsn:
        return Gap("timeline", "a new timeline begins before what the destination holds")
    if head.piece > 0:
        # The end of a transaction whose beginning is not here: what comes twice begins again with piece 0.
        return Skip()
    after = replace(position, timeline=head.timeline)
    if head.final:
        return Apply(position.lsn, replace(after, lsn=head.last))
    return Apply(position.lsn, replace(after, pieces=(head.last, 1, head.sequence)))


def _within(position: Position, last: int, piece: int, sequence: int, head: ChangeHead) -> Verdict:
    if head.sequence <= sequence:
        return Skip()  # what came before comes again, or a former capture says what its successor has said
    if head.piece == 0:
        return Again()
    if head.last != last:
        return Skip()
    if head.piece != piece or head.sequence != sequence + 1:
        return Gap("gap", f"a piece of the transaction that commits at {lsn_text(last)} is missing")
    if head.final:
        return Apply(position.lsn, replace(position, lsn=last, pieces=None))
    return Apply(position.lsn, replace(position, pieces=(last, piece + 1, head.sequence)))


def lsn_text(lsn: int) -> str:
    """As PostgreSQL prints it: ``16/B374D848``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_of(text: str) -> int:
    """Bytes of WAL from PostgreSQL's ``16/B374D848``. Raises ValueError."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)
