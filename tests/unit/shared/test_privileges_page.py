"""The page on privileges has every right that roles of tests get, and tests grant by it alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.grants import STATEMENTS, Right, as_documented

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs" / "privileges.md").read_text()
TO_A_ROLE = re.compile(r"""(GRANT\s[^"'`]*\sTO\s|ALTER ROLE \S+ (REPLICATION|BYPASSRLS|SUPERUSER))""")


@pytest.mark.parametrize("right", STATEMENTS)
def test_the_page_says_it(right: Right) -> None:
    assert as_documented(right) in PAGE


FILES = sorted([*(TESTS / "support").glob("*.py"), *(TESTS / "e2e").glob("*.py"), TESTS / "conformance" / "pair.py"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_roles_of_runs_are_granted_what_the_page_says_and_nothing_by_hand(file: Path) -> None:
    """Rights of worlds in which something is wrong are theirs to choose."""
    if file.name in ("grants.py", "foreseeable.py"):
        return
    assert [line.strip() for line in file.read_text().splitlines() if TO_A_ROLE.search(line)] == []
