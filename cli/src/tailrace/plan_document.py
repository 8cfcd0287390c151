"""What ``tailrace plan --json`` prints. The model is the reference: ``tailrace schema plan`` prints its JSON Schema."""

from __future__ import annotations

from tailrace_shared.plan.estimate import Estimate, estimate
from tailrace_shared.plan.model import Plan, PlanResult, Problem
from tailrace_shared.types import Frozen


class PlanDocument(Frozen):
    """A plan, or what stands against one."""

    plan: Plan | None
    """Tables, columns, ranges, what is away while loading, and ``proofs``: per constraint whether it is proved, estimated, or
    decided by the rows."""
    problems: tuple[Problem, ...]
    """Errors first."""
    estimate: Estimate | None
    """Rows, bytes, seconds; None without a plan."""


def document(result: PlanResult) -> PlanDocument:
    """The document of a planning result."""
    return PlanDocument(
        plan=result.plan, problems=result.problems, estimate=estimate(result.plan) if result.plan else None
    )
