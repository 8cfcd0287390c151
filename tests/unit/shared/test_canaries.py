"""Canaries are named by a job and looked up by whoever checks; nothing to look for is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace_shared.errors import UsageError
from tailrace_shared.verify.canaries import resolve_canaries


def test_a_value_holds_one_string_per_line_and_empty_lines_count_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "canaries"
    file.write_text("from a file\r\n\n second line \n")
    environ = {"A": "one\n  \ntwo words\n", "B_FILE": str(file), "C": "one"}
    assert resolve_canaries(["${A}", "${B}", "${C}"], environ) == ("one", "two words", "from a file", "second line")
    assert resolve_canaries([], environ) == ()


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(UsageError, match="NOWHERE") as caught:
        resolve_canaries(["${A}", "${NOWHERE}"], {"A": "a canary"})
    assert caught.value.code == "secret.missing"
    assert "a canary" not in str(caught.value)


def test_a_variable_without_a_string_is_refused_as_the_check_would_look_for_nothing() -> None:
    with pytest.raises(UsageError, match="BLANK") as caught:
        resolve_canaries(["${BLANK}"], {"BLANK": " \n \n"})
    assert caught.value.code == "verify.no-canaries"
