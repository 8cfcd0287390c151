"""A plan in words: tables and ranges, generators and where they come from, what is proved, what stands against it."""

from __future__ import annotations

import re
from collections import Counter

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tailrace.console import duration, number, size
from tailrace.problem_lines import problem_lines
from tailrace_shared.generators import Constant, GeneratorSpec
from tailrace_shared.plan.estimate import Estimate, estimate
from tailrace_shared.plan.model import ContinuousPlan, Plan, PlannedTable, PlanResult, Proof

_VERDICTS = {"proved": "green", "estimated": "yellow", "verified-after": "cyan"}

_NAMED_MAX = 50
"""More than people read; `--json` has every one."""
_DROPS = re.compile(r"DROP ([A-Z ]+) IF EXISTS ")
"""What a step makes, by how it would go again."""


def plan_text(result: PlanResult, *, columns: bool = True, proofs: bool = False) -> RenderableType:
    """Everything there is to say about a planning result; ``proofs``: also of each constraint that is proved."""
    parts: list[RenderableType] = []
    if result.plan is not None:
        parts.append(_tables(result.plan))
        if columns:
            parts += [
                _columns(table) for table in result.plan.tables if table.columns and table.mode in ("carry", "generate")
            ]
        parts.append(_proofs(result.plan.proofs, in_full=proofs))
        parts.append(_dropped(result.plan))
        if result.plan.continuous is not None:
            parts.append(_follows(result.plan.continuous))
        parts.append(_estimate(estimate(result.plan)))
    problems = list(dict.fromkeys((*result.problems, *(result.plan.warnings if result.plan else ()))))
    problems.sort(key=lambda problem: problem.severity)  # "error" before "warning"
    parts += problem_lines(problems, most=_NAMED_MAX)
    count = Counter(problem.severity for problem in problems)
    if count["error"]:
        parts.append(Text(f"refused: {count['error']} errors, {count['warning']} warnings", style="bold red"))
    else:
        parts.append(Text(f"nothing stands against this run; {count['warning']} warnings", style="bold green"))
    return Group(*parts)


def _follows(follow: ContinuousPlan) -> Text:
    """How a continuous run would go on after its load."""
    keys = {
        "replica-role": "foreign keys hold meanwhile",
        "bare": "foreign keys of carried tables are absent meanwhile, and come back when it is stopped",
    }[follow.apply]
    source = "a publication of its own" if follow.managed else f"publication {follow.publication}"
    return Text(f"then follows every change by {source}, until it is stopped; {keys}", style="cyan")


def describe_rule(rule: GeneratorSpec) -> str:
    """``mask.number relative=0.2``: name and the options that were given; a constant's value is left out."""
    told_elsewhere = {"generator", "domain"} | ({"value"} if isinstance(rule, Constant) else set())
    given = rule.model_dump(exclude_defaults=True, exclude=told_elsewhere)
    return " ".join([rule.generator, *(f"{name}={value}" for name, value in given.items())])


def _tables(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("table", "left"), ("mode", "left"), ("rows (estimate)", "right"), ("bytes", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("ranges", justify="right")
    table.add_column("heaps", justify="right")
    table.add_column("columns masked", justify="right")
    for entry in plan.tables:
        masked = sum(column.masked for column in entry.columns)
        table.add_row(
            escape(str(entry.name)),
            escape(_mode(plan, entry)),
            number(entry.estimated_rows) if entry.estimated_rows >= 0 else "unknown",
            size(sum(r.estimated_bytes for r in entry.ranges)),
            str(len(entry.ranges)),
            str(len(entry.leaves)),
            "all made" if entry.mode == "generate" else f"{masked} of {len(entry.columns)}",
        )
    return table


def _mode(plan: Plan, table: PlannedTable) -> str:
    if table.events_of is not None:
        return f"{table.mode}, events of {plan.table(table.events_of).name}"
    return f"{table.mode}, in part" if table.filtered else table.mode


def _columns(planned: PlannedTable) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, title=escape(str(planned.name)), title_justify="left")
    for name in ("column", "type", "generator", "domain", "why"):
        table.add_column(name)
    for column in planned.columns:
        domain = column.mask.domain if column.mask is not None else ""
        style = "" if column.masked else "dim"
        row = (column.name, column.type.name, describe_rule(column.rule), domain, column.why)
        table.add_row(*(escape(cell) for cell in row), style=style)
    return table


def _proofs(proofs: tuple[Proof, ...], *, in_full: bool) -> RenderableType:
    """What is known of constraints: counts of what is proved, and everything else one by one."""
    proved = Counter(_kind(proof) for proof in proofs if proof.verdict == "proved")
    counted = Text("proved beforehand: ")
    counted.append(", ".join(f"{count} {kind}" for kind, count in proved.items()) or "nothing", style="green")
    listed = proofs if in_full else [proof for proof in proofs if proof.verdict != "proved"]
    if not listed:
        return counted
    table = Table(box=box.SIMPLE, pad_edge=False, title="constraints", title_justify="left")
    for name in ("constraint", "verdict", "because"):
        table.add_column(name)
    for proof in listed:
        table.add_row(escape(proof.about), f"[{_VERDICTS[proof.verdict]}]{proof.verdict}[/]", escape(proof.reason))
    return Group(table, counted)


def _kind(proof: Proof) -> str:
    for mark, kind in (
        (" foreign key ", "foreign keys"),
        (" unique ", "unique keys"),
        (" NOT NULL", "tables' NOT NULL"),
    ):
        if mark in proof.about:
            return kind
    return "others"


def _dropped(plan: Plan) -> Text:
    """What is away while loading and comes back."""
    if plan.mode == "append":
        aside = ", ".join(step.name for step in plan.ddl if step.kind == "trigger")
        said = f"; disabled meanwhile: {aside}" if aside else ""
        return Text(f"rows wait in staging tables, and are added in one transaction at the end{said}")
    if plan.mode == "create":
        return _made(plan)
    if not plan.ddl:
        return Text("nothing is dropped while loading")
    count = Counter(step.kind for step in plan.ddl)
    plural = {"foreign-key": "foreign keys", "index": "indexes", "trigger": "triggers"}
    words = ", ".join(f"{number} {plural[kind]}" for kind, number in count.items())
    return Text(f"away while loading and rebuilt after it: {words}")


def _made(plan: Plan) -> Text:
    """What the run makes, by kind."""
    kinds = Counter(found[1].lower() for step in plan.ddl if (found := _DROPS.match(step.drop)))
    words = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    after = sum(step.kind != "create" for step in plan.ddl)
    return Text(
        f"made before the load: {words or 'not known here'}; after it: {after} keys, indexes, triggers and the like"
    )


def _estimate(found: Estimate) -> Text:
    """How much, and about how long."""
    text = Text(f"about {number(found.rows)} rows and {size(found.bytes)}, ")
    low, high = duration(found.seconds_low), duration(found.seconds_high)
    text.append(low if low == high else f"{low} to {high}")
    return text.append(f"  (estimate: {found.basis})", style="dim")
