"""What the source's answers about the carried rows decide: what was not answered, what the job refuses, and why the rest holds."""

from __future__ import annotations

from tailrace_shared.plan.filters import NESTED_MAX, Filters
from tailrace_shared.plan.gaps import Gap
from tailrace_shared.plan.links import Meaning
from tailrace_shared.plan.problems import Problems


def check_asked(filters: Filters, problems: Problems) -> None:
    """Whatever planning had to know and does not is an error, with what to do instead."""
    asked = filters.asked
    for problem in asked.problems:
        problems.add(problem)
    told = {problem.where for problem in asked.problems}
    for name, table in filters.scope.items():
        if not table.loaded or str(name) in told:
            continue
        if table.where and str(name) not in asked.where:
            problems.error(
                "where", name, "its condition was not checked in the source", "Plan with the source at hand."
            )
        if table.limit and table.table.kind in ("r", "p") and str(name) not in asked.ends:
            problems.error(
                "row-limit",
                name,
                "the source did not say in time where its row limit ends",
                "Carry it with a `where` instead.",
            )
        if any(gap.inner for gap in filters.gaps.of(name, "exclude")) and str(name) not in asked.excluded:
            cycle = next(gap.link for gap in filters.gaps.of(name, "exclude") if gap.inner)
            problems.error(
                "exclude-cycle", cycle.about,
                "rows that are excluded would exclude others in a cycle, and they are too many to be counted out beforehand",
                f"Set missing_parents: nullify for {name}, or choose its rows by `where` so that they refer to each other.",
            )  # fmt: skip
    for name in sorted(filters.too_deep):
        problems.error(
            "filter-too-deep", name, f"choosing its rows takes more than {NESTED_MAX} look-ups along its foreign keys",
            f"Set missing_parents: nullify for some of its references, or write a `where` for {name} itself.",
        )  # fmt: skip


def judge_gaps(filters: Filters, problems: Problems) -> dict[Meaning, str]:
    """Why each link with a gap holds, by its meaning; gaps that the job refuses are errors."""
    found: dict[Meaning, str] = {}
    for gap in filters.gaps.all:
        link = gap.link
        if gap.action == "nullify":
            found[link.meaning] = "references to rows that are not carried become NULL"
        elif gap.action == "exclude":
            found[link.meaning] = "rows that refer to one that is not carried are excluded"
        elif filters.asked.missing.get(link.about) is False:
            found[link.meaning] = "no carried row refers to one that is not: asked in the snapshot"
        else:
            know = "rows refer" if link.about in filters.asked.missing else "rows may refer"
            problems.error(
                "missing-parents", link.about,
                f"{know} by {', '.join(link.columns)} to rows of {link.parent} that are not carried: {_why(gap, filters)}",
                f"Set missing_parents of {link.child} to nullify (NULL instead) or exclude (without the row), "
                f"or carry {link.parent} whole.",
            )  # fmt: skip
    return found


def _why(gap: Gap, filters: Filters) -> str:
    parent = filters.scope.get(gap.link.parent)
    if parent is None:
        return "it is excluded"
    if not parent.loaded:
        return "it is only truncated"
    said = [word for word, there in (("`where`", parent.where), ("`rows`", parent.limit is not None)) if there]
    return f"it has {' and '.join(said)}" if said else "rows of it are excluded in turn"
