"""What goes wrong with a slot and its stream, as types. PostgreSQL's words are never repeated: only SQLSTATEs are read."""

from __future__ import annotations

import asyncpg

from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.postgres import map_error

UNDEFINED_OBJECT = "42704"
IN_USE = "55006"
NOT_READY = "55000"
"""object_not_in_prerequisite_state: an invalidated slot, wal_level, and more."""
FILE_GONE = "58P01"
DUPLICATE = "42710"
INTERNAL = "XX"
"""Class of SQLSTATE: the server itself says that this should not happen."""
PRIVILEGE = "42501"


class SlotActive(TransientError):
    """Another session streams from the slot: a predecessor that the server has not noticed to be gone, or a rival."""

    def __init__(self, slot: str) -> None:
        super().__init__(
            "capture.slot-active",
            f"replication slot {slot} is in use by another session",
            "It is tried again; if it lasts, look at pg_replication_slots.active_pid and end that session.",
        )


class SlotLost(TerminalError):
    """The slot is gone, or the WAL that it needs: changes are missing, only a new snapshot helps."""

    def __init__(self, slot: str, why: str) -> None:
        super().__init__(
            "capture.slot-lost",
            f"replication slot {slot} is lost: {why}",
            "The tables are read anew. Raise max_slot_wal_keep_size on the source if this happens again.",
        )
        self.slot = slot


class PublicationMissing(TerminalError):
    """The slot's stream reads the catalogue of the past: a publication made later than the slot does not exist there."""

    def __init__(self, publication: str) -> None:
        super().__init__(
            "capture.publication-missing",
            f"publication {publication} does not exist, or did not when the changes were made",
            "Do not drop the publication of a running job; start the run again to read the tables anew.",
        )


class CapturePrivilege(TerminalError):
    """The role may not replicate."""

    def __init__(self) -> None:
        super().__init__(
            "capture.privilege",
            "the source's role may not use replication slots",
            "ALTER ROLE … REPLICATION; docs/privileges.md lists what each mode needs.",
        )


class StreamEnded(TransientError):
    """The server has ended the stream without an error: it shuts down, or somebody has ended the session."""

    def __init__(self) -> None:
        super().__init__("capture.ended", "the source has ended the change stream", "It is opened again.")


class StreamFailed(TransientError):
    """Decoding has failed inside of the server, as it may when catalogues change under it. The slot is as it was."""

    def __init__(self, state: str, routine: str) -> None:
        super().__init__(
            "capture.server",
            f"the source could not decode its changes (SQLSTATE {state}{f', in {routine}' if routine else ''})",
            "It is tried again; if it lasts, look into the source's log: its WAL is kept until it succeeds.",
        )


def server_failure(body: bytes, slot: str, publication: str, *, started: bool) -> TailraceError:
    """Our error for an ErrorResponse; ``started``: it came inside of the stream."""
    fields = {
        part[:1].decode("ascii", "replace"): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part
    }
    state = fields.get("C", "")
    if state == IN_USE:
        return SlotActive(slot)
    if state == UNDEFINED_OBJECT:
        return PublicationMissing(publication) if started else SlotLost(slot, "it does not exist")
    if state == NOT_READY:
        return SlotLost(slot, "the server has invalidated it")
    if state == FILE_GONE:
        return SlotLost(slot, "the WAL that it needs is removed")
    if state == PRIVILEGE:
        return CapturePrivilege()
    if state.startswith(INTERNAL):
        return StreamFailed(state, fields.get("R", ""))
    return map_error(asyncpg.PostgresError.new(fields))
