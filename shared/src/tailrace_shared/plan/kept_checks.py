"""Checks over masked columns that hold because of what their generators keep: NULLs, signs, lengths.

A check is a formula over comparisons. One whose truth no mask changes (is it NULL, is it positive, how long is it) may stand
anywhere in it; one that every output meets may stand in a conjunction. What is left after those must not name the column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import permutations
from typing import Final

from tailrace_shared.catalogue.model import CheckConstraint
from tailrace_shared.generators import (
    Constant,
    GeneratorSpec,
    Key,
    MaskColumn,
    MaskHash,
    MaskNumber,
    MaskText,
    Mock,
    MockEmail,
    Null,
)
from tailrace_shared.plan.check_limits import limits_of
from tailrace_shared.types import quote_ident

_CAST: Final = r"(?:::(?:text|bpchar|character varying|character)(?:\[\])?)?"
_MATCHES: Final = r"(?P<how>!?~~?\*?) '(?P<pattern>(?:[^']|'')*)'(?:::text)?"
_BRANCHES: Final = re.compile(r"(?<!IS )\bNOT\b|\bOR\b|\bCASE\b|<>\s*\(|=\s*\(\w+ IS ")


NO_LIMIT: Final = 1 << 30
_OF_NULL: Final = re.compile(r"(?i)\bIS\b|coalesce|num_n(?:on)?nulls|nullif|jsonb?_|concat|array|row\(")
"""What may be false of a NULL; of everything else the answer is NULL, which meets a check."""


def keeps_check(check: CheckConstraint, column: str, rule: GeneratorSpec, mask: MaskColumn | None) -> bool:
    """Whether a row that meets the check still does when only this column is replaced by its generator's output."""
    if isinstance(rule, Null):
        return len(check.columns) == 1 and _OF_NULL.search(check.definition) is None
    if isinstance(rule, Constant):
        limits = limits_of(check)
        return limits is not None and rule.text in limits.values
    spelled = r"(?<!\w)VALUE(?!\w)" if check.domain else _spelled(column)
    rest = check.definition
    for comparison in _unchanged(spelled, rule, mask):
        rest = re.sub(comparison, "true", rest)
    if isinstance(rule, (Key, MaskText)) and mask is not None and mask.type.family == "text" and not mask.folded:
        for told in list(re.finditer(rf"\(*{spelled}\)*{_CAST}\)* {_MATCHES}", rest)):
            if _of_shapes(told["pattern"], like="~~" in told["how"]):
                rest = rest.replace(told[0], "true")
    if not _BRANCHES.search(check.definition):
        for comparison, longest in _met(spelled, rule, mask):
            for met in list(re.finditer(comparison, rest)):
                if longest is None or longest <= int(met["n"]):
                    rest = rest.replace(met[0], "true")
    return re.search(spelled, rest) is None


def without_alike(check: CheckConstraint, keys: Mapping[str, str]) -> CheckConstraint:
    """The check less its comparisons of two columns that one bijection masks: equal stays equal, different stays different.

    ``keys``: columns whose generator is ``key``, and their domains.
    """
    rest = check.definition
    for one, other in permutations(keys, 2):
        if keys[one] == keys[other]:
            a, b = (rf"\(*{_spelled(name)}\)*{_CAST}" for name in (one, other))
            rest = re.sub(rf"{a} (?:=|<>|IS (?:NOT )?DISTINCT FROM) {b}", "true", rest)
    return check.model_copy(update={"definition": rest})


def _spelled(column: str) -> str:
    return rf'(?<![\w"])(?:{re.escape(column)}|{re.escape(quote_ident(column))})(?![\w"])'


def _of_shapes(pattern: str, *, like: bool) -> bool:
    """Whether a pattern speaks of places, lengths and classes of characters alone, which a mask within a shape keeps."""
    if like:
        return not re.search(r"[^\W_]", pattern)
    rest = re.sub(r"\\[dwsDWS]|\{\d+(?:,\d*)?\}|(?<=[\[^\w])(?:0-9|A-Z|a-z)(?=[^-])", "", pattern)
    return not re.search(r"\w|\\(?=\w)|\[:|\(\?", rest.replace("_", ""))


def _unchanged(spelled: str, rule: GeneratorSpec, mask: MaskColumn | None) -> list[str]:
    """Comparisons that are as true of the output as of the input."""
    found = []
    subject = rf"\(*{spelled}\)*{_CAST}\)*"
    if rule.nulls == "kept":
        found += [rf"{spelled} IS (?:NOT )?NULL", rf"num_n(?:on)?nulls\((?:[^()]*,)?\s*{spelled}\s*(?:,[^()]*)?\)"]
    if mask is None:
        return found
    if isinstance(rule, Key) and mask.type.family == "integer":
        found.append(rf"{spelled} (?:>=|>|<=|<|=|<>) 0(?![\d.])")
    if isinstance(rule, (Key, MaskText)) and mask.type.family == "text":
        found += [
            rf"(?:char_length|character_length|length)\({subject} (?:>=|>|<=|<|=|<>) \d+",
            rf"{subject} (?:<>|=) ''{_CAST}",
            rf"{subject} = (?:{'lower' if mask.folded else 'lower|upper'})\({subject}\)",
        ]
    return found


def _met(spelled: str, rule: GeneratorSpec, mask: MaskColumn | None) -> list[tuple[str, int | None]]:
    """Comparisons that every output meets, given that the input did; with the most characters, where the bound decides."""
    subject = rf"\(*{spelled}\)*{_CAST}\)*"
    if isinstance(rule, MaskNumber) and rule.share is not None:
        return [(rf"{spelled} >= \(*0(?:\.0+)?(?![\d.])(?:\)*::[a-z ]+)?", None)]
    if mask is None or mask.type.family != "text" or not isinstance(rule, (Mock, MaskHash)):
        return []
    most = rule.max_output_chars(mask)
    lower = [(rf"{subject} = lower\({subject}\)", None)] if isinstance(rule, (MockEmail, MaskHash)) else []
    return [
        *lower,
        (rf"(?:char_length|character_length|length)\({subject} <= (?P<n>\d+)", NO_LIMIT if most is None else most),
        (rf"(?:char_length|character_length|length)\({subject} > (?P<n>0)", None),
        (rf"{subject} <> ''{_CAST}", None),
    ]
