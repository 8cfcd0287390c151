"""Planning problems as lines: what is said of many things is said once, with their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.text import Text

from tailrace_shared.plan.model import Problem

NAMED_MAX = 6
"""Names in one line where a plan says the rest."""


class Said(NamedTuple):
    """One thing that is wrong, and everywhere it is."""

    problem: Problem
    """The first of them."""
    places: tuple[str, ...]

    def where(self, most: int) -> str:
        """``public.a, public.b and 3 more``."""
        more = f" and {len(self.places) - most} more" if len(self.places) > most else ""
        return ", ".join(self.places[:most]) + more


def together(problems: Iterable[Problem]) -> list[Said]:
    """Problems that differ only in their place are one, in the order of the first of each."""
    found: dict[tuple[str, ...], dict[str, Problem]] = {}
    for problem in problems:
        same = (problem.severity, problem.code, problem.message, problem.remedy)
        found.setdefault(same, {}).setdefault(problem.where, problem)
    return [Said(next(iter(places.values())), tuple(places)) for places in found.values()]


def problem_lines(problems: Iterable[Problem], *, most: int = NAMED_MAX) -> list[Text]:
    """A text for everything that is wrong, with at most so many places, and its remedy."""
    return [_text(said.problem, said.where(most)) for said in together(problems)]


def _text(problem: Problem, where: str) -> Text:
    style = "bold red" if problem.severity == "error" else "yellow"
    text = Text.assemble((problem.severity, style), f": {where}: {problem.message} [{problem.code}]")
    if problem.remedy:
        text.append("\n  remedy: ", "bold")
        text.append(problem.remedy)
    return text
