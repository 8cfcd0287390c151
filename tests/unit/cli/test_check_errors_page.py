"""The page of error codes is complete, and says nothing of codes that do not exist."""

from __future__ import annotations

import re

from support.error_codes import ROOT, codes

PAGE = ROOT / "docs" / "errors.md"
ROW = re.compile(r"^\| `(?P<code>[a-z.-]+)` \| (?P<meaning>[^|]+) \| (?P<remedy>[^|]+) \|$", re.MULTILINE)


def described() -> list[str]:
    return [row["code"] for row in ROW.finditer(PAGE.read_text())]


def test_every_code_of_the_source_is_described() -> None:
    assert codes() - set(described()) == set()


def test_every_described_code_exists() -> None:
    assert set(described()) - codes() == set()


def test_no_code_is_described_twice() -> None:
    found = described()
    assert len(found) == len(set(found))


def test_codes_are_found_in_every_way_that_the_source_gives_them() -> None:
    found = codes()
    for code in (
        "job.file",
        "plan.no-rule",
        "plan.generator-family",
        "postgres.password",
        "postgres.deadlock",
        "undo.incomplete",
    ):
        assert code in found
