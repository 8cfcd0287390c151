"""Collects what planning finds, so that one run of the planner names everything at once."""

from __future__ import annotations

from tailrace_shared.plan.model import Problem


class Problems:
    """Problems in the order of their finding, each once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def error(self, code: str, where: object, message: str, remedy: str = "") -> None:
        """Something that would fail the run."""
        self._add("error", code, where, message, remedy)

    def warning(self, code: str, where: object, message: str, remedy: str = "") -> None:
        """Something that somebody should know."""
        self._add("warning", code, where, message, remedy)

    def add(self, problem: Problem) -> None:
        """What was found elsewhere."""
        self._found[problem] = None

    def _add(self, severity: str, code: str, where: object, message: str, remedy: str) -> None:
        problem = Problem(
            severity="error" if severity == "error" else "warning",
            code=f"plan.{code}",
            where=str(where),
            message=message,
            remedy=remedy,
        )
        self._found[problem] = None

    @property
    def all(self) -> tuple[Problem, ...]:
        """Errors first, then warnings."""
        return tuple(sorted(self._found, key=lambda p: p.severity))

    @property
    def failed(self) -> bool:
        """True when an error stands against the plan."""
        return any(p.severity == "error" for p in self._found)
