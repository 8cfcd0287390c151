"""Every page: what it tells to type is there, with the options that it shows, and its links lead to a heading that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from support.monitoring import REPOSITORY
from tailrace.app import create_app

PAGES = sorted([*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md", REPOSITORY / "ARCHITECTURE.md"])


@cache
def commands() -> dict[tuple[str, ...], set[str]]:
    """Options of every command."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(group: object, before: tuple[str, ...] = ()) -> None:
        for name, command in getattr(group, "commands", {}).items():
            if hasattr(command, "commands"):
                walk(command, (*before, name))
            else:
                options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
                found[*before, name] = options | {"--help"}

    walk(typer.main.get_command(create_app()))
    return found


def typed(page: Path) -> Iterator[str]:
    """What stands in code: between backticks, and line by line in blocks."""
    text = page.read_text()
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    yield from (line for block in blocks for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for snippet in typed(page):
        for target in re.findall(r"(?:^|&& )make ([a-z][a-z-]+)", snippet):
            assert target in targets, f"there is no target {target}: {snippet}"
        for line in re.finditer(r"(?:^|&& |; |bin/|run --rm cli )tailrace ([a-z][a-z-]*)([^|;&#]*)", snippet):
            words = line[2].split()
            name = (line[1], *words[:1]) if (line[1], *words[:1]) in commands() else (line[1],)
            assert any(known[: len(name)] == name for known in commands()), f"there is no command: {snippet}"
            for option in re.findall(r"(?<=\s)(--[a-z][a-z-]*)", line[2]):
                assert option in commands().get(name, {option}), f"{' '.join(name)} has no {option}: {snippet}"


def anchors(page: Path) -> set[str]:
    """Of its headings, as they are made where the repository is read."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
        led_to = (page.parent / target) if target else page
        assert led_to.exists(), f"{target} does not exist"
        if anchor and led_to.suffix == ".md":
            assert anchor in anchors(led_to), f"{led_to.name} has no heading #{anchor}"
