"""Candidates of a column that a check constrains: first those under which it holds, then those that keep a value's shape. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.init_rules import Candidate
from tailrace_shared.catalogue.model import CheckConstraint, Column
from tailrace_shared.generators import Constant, Duplicate, Key, MaskColumn, MaskText
from tailrace_shared.plan.kept_checks import keeps_check


def meeting(found: Sequence[Candidate], column: Column, checks: Sequence[CheckConstraint]) -> tuple[Candidate, ...]:
    """The candidates in an order of their own where the best may break a check; a question and `duplicate` stay the last.

    A pattern over a text (``~ '^[0-9]{5}$'``) is not looked into: a mask that keeps length, case, digits and punctuation
    is likelier to match it than a mock.
    """
    mask = MaskColumn(type=column.type, domain=column.name, family=column.type.family, max_chars=column.type.length)

    def rank(candidate: Candidate) -> int:
        rule = candidate.rule
        if rule is None or isinstance(rule, Duplicate):
            return 3
        if all(keeps_check(check, column.name, rule, mask) for check in checks):
            return 0
        return 1 if isinstance(rule, (MaskText, Key)) else 2

    if isinstance(found[0].rule, Duplicate):
        return tuple(found)
    if column.type.base in ("json", "jsonb"):
        found = [c._replace(rule=_document(c.rule, checks)) if isinstance(c.rule, Constant) else c for c in found]
    return tuple(sorted(found, key=rank))


def _document(rule: Constant, checks: Sequence[CheckConstraint]) -> Constant:
    """A document that says nothing, of the kind that the checks ask for: an array, or an object that is not empty."""
    told = " ".join(check.definition for check in checks)
    if "'array'" in told:
        return Constant(value="[]")
    return Constant(value='{"masked": true}') if "<> '{}'" in told else rule
