"""What is said of many things is said once."""

from __future__ import annotations

from tailrace.problem_lines import problem_lines, together
from tailrace_shared.plan.model import Problem


def problem(where: str, message: str = "the destination's table has rows", **more: str) -> Problem:
    values = {"severity": "error", "code": "plan.not-empty", "remedy": "Empty it."} | more
    return Problem(where=where, message=message, **values)  # type: ignore[arg-type]


def test_the_same_of_several_tables_is_one_line_with_their_names() -> None:
    lines = problem_lines([problem("public.a"), problem("public.b", "it lacks a column"), problem("public.c")])
    assert [str(line) for line in lines] == [
        "error: public.a, public.c: the destination's table has rows [plan.not-empty]\n  remedy: Empty it.",
        "error: public.b: it lacks a column [plan.not-empty]\n  remedy: Empty it.",
    ]


def test_another_remedy_severity_or_code_is_another_line() -> None:
    other = [problem("b", remedy="Drop it."), problem("b", severity="warning"), problem("b", code="plan.other")]
    assert len(together([problem("a"), *other])) == 4


def test_many_names_are_cut_short_and_counted_once_each() -> None:
    (line,) = problem_lines([problem(f"t{n % 9}") for n in range(20)], most=2)
    assert "t0, t1 and 7 more:" in str(line)
