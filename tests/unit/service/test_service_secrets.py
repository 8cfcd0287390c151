"""References resolve from the environment or a file; nothing secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace_shared.errors import UsageError
from tailrace_shared.secrets import name_of, redact, resolve


def test_a_reference_resolves_from_the_environment() -> None:
    assert resolve("${DB_URL}", {"DB_URL": "postgresql://u:p@h/d"}).get_secret_value() == "postgresql://u:p@h/d"


def test_a_reference_resolves_from_a_file_and_drops_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    assert resolve("${KEY}", {"KEY_FILE": str(tmp_path / "secret")}).get_secret_value() == "hidden"


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(UsageError, match="DB_URL"):
        resolve("${DB_URL}", {})


def test_an_unreadable_file_is_named_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="KEY_FILE"):
        resolve("${KEY}", {"KEY_FILE": str(tmp_path / "absent")})


def test_a_literal_is_refused_without_being_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        name_of("postgresql://user:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["postgresql://user:hunter2@host/db", "host=x password=hunter2 user=y", "see kafka://hunter2@broker:9092 there"],
)
def test_credentials_are_redacted(text: str) -> None:
    assert "hunter2" not in redact(text)
