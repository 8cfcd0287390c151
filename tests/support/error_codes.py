"""Every error code that the source can raise or report, found by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("shared/src", "services", "cli/src")
RAISED = {
    "TailraceError",
    "TransientError",
    "TerminalError",
    "UsageError",
    "Refused",
    "ReplicaDiffers",
    "Failure",
    "Fail",
    "_unreadable",
    "_refuse",
}
"""Calls whose first argument, or ``code``, is the code."""
PLANNING = ROOT / "shared/src/tailrace_shared/plan"
"""Where ``problems.error("no-rule", …)`` reports ``plan.no-rule``."""


@cache
def codes() -> frozenset[str]:
    """All codes."""
    return frozenset(
        code for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")) for code in codes_of(file)
    )


def codes_of(file: Path) -> Iterator[str]:
    """The codes of one module; what is only passed on has no literal and is somebody else's."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node, planning=file.is_relative_to(PLANNING))
        elif isinstance(node, ast.Dict):
            yield from _of_mapping(node)


def _of_call(call: ast.Call, *, planning: bool) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    first = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "code"), None)
    given = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    second = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else ""
    if given and (name in RAISED or name == "__init__") and "." in given and " " not in given:
        yield given
    elif name == "Refusal" and given:
        yield f"plan.{given.replace('.', '-')}"
    elif planning and name in ("error", "warning") and given and len(call.args) >= 3:
        yield f"plan.{given}"
    elif name == "refused" and isinstance(second, str) and "." in second and " " not in second:
        yield second


def _of_mapping(mapping: ast.Dict) -> Iterator[str]:
    """Tables from SQLSTATE to a code without its prefix."""
    for key, value in zip(mapping.keys, mapping.values, strict=True):
        state = key.value if isinstance(key, ast.Constant) else None
        if isinstance(state, str) and state[:1].isalnum() and state.upper() == state and len(state) in (2, 5):
            first = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield f"postgres.{first.value}"
