"""What the server says of a slot's stream, as our errors: which may be tried again, and that no value is repeated."""

from __future__ import annotations

import pytest

from tailrace_reader.capture.errors import PublicationMissing, SlotActive, SlotLost, StreamFailed, server_failure
from tailrace_shared.errors import TailraceError


def said(state: str, message: str = "row (4711, secret)", routine: str = "GetPublication") -> bytes:
    fields = {"S": "ERROR", "C": state, "M": message, "R": routine}
    return b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0"


@pytest.mark.parametrize(
    ("state", "started", "kind"),
    [
        ("55006", False, SlotActive),
        ("42704", False, SlotLost),
        ("42704", True, PublicationMissing),
        ("55000", False, SlotLost),
        ("58P01", True, SlotLost),
        ("XX000", True, StreamFailed),
    ],
)
def test_every_state_has_its_error(state: str, started: bool, kind: type[TailraceError]) -> None:
    error = server_failure(said(state), "slot", "publication", started=started)
    assert type(error) is kind
    assert "secret" not in str(error)


def test_a_server_that_fails_inside_is_tried_again_and_says_where() -> None:
    error = server_failure(said("XX000"), "slot", "publication", started=True)
    assert (error.code, "GetPublication" in error.message) == ("capture.server", True)
