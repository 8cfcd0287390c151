"""The closing words of a run: what came of it, how fast, what was verified, what to do about what failed."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tailrace.console import duration, number, size
from tailrace.problem_lines import problem_lines
from tailrace.progress import stage_rows
from tailrace_shared.errors import ExitCode
from tailrace_shared.freshness import table_lag
from tailrace_shared.messages import Check, RunRecord

STATE_STYLE = {"done": "bold green", "failed": "bold red", "cancelled": "bold yellow"}


def exit_code(record: RunRecord) -> ExitCode:
    """What a terminal record makes a command end with."""
    if record.state == "done":
        return ExitCode.OK
    if record.state == "cancelled":
        return ExitCode.CANCELLED
    return ExitCode.REFUSED if refused(record) else ExitCode.FAILED


def refused(record: RunRecord) -> bool:
    """True for a run that its plan stopped: nothing was changed."""
    return record.state == "failed" and any(p.severity == "error" for p in record.problems)


def run_seconds(record: RunRecord) -> float:
    """From the start (else the submission) to the end (else the last news)."""
    began = record.started_at or record.submitted_at
    return max(0.0, ((record.finished_at or record.updated_at) - began).total_seconds())


def closing(record: RunRecord, loading_seconds: float = 0.0) -> RenderableType:
    """The summary of a terminal run; ``loading_seconds`` where somebody watched it."""
    parts: list[RenderableType] = []
    if record.tables:
        parts.append(table_rows(record))
    if record.checks:
        parts.append(check_lines(record.checks))
    parts += problem_lines(record.problems)
    parts += loss_lines(record)
    parts += rejection_lines(record)
    parts.append(headline(record, loading_seconds))
    if record.failure is not None and record.failure.code != "plan.refused":  # its problems have been said
        where = f" ({record.failure.where})" if record.failure.where else ""
        parts.append(Text(f"{record.failure.message}{where} [{record.failure.code}]", style="red"))
        if record.failure.remedy:
            parts.append(Text.assemble(("remedy: ", "bold"), record.failure.remedy))
    return Group(*parts)


def headline(record: RunRecord, loading_seconds: float = 0.0) -> Text:
    """``done: 15 tables, 49,636 rows in 4.2 s (11,800 rows/s; loading 1.6 s, 31,000 rows/s)``."""
    loaded, seconds = stage_rows(record)["loaded"], run_seconds(record)
    words = "refused by its plan" if refused(record) else record.state
    text = Text.assemble((words, STATE_STYLE.get(record.state, "bold")))
    if record.state == "done":
        text.append(f": {len(record.tables)} tables, {number(loaded)} rows")
    if record.state == "done" and record.job.mode == "continuous":
        changes = sum(lane.changes for lane in record.lanes)
        text.append(f" loaded and {number(changes)} changes followed in {duration(seconds)}")
    elif record.state == "done":
        text.append(f" in {duration(seconds)}")
        text.append(f" ({_rate(loaded, seconds)}")
        text.append(
            f"; loading {duration(loading_seconds)}, {_rate(loaded, loading_seconds)}" if loading_seconds else ""
        )
        text.append(")")
    elif record.terminal:
        text.append(f" after {duration(seconds)}")
        text.append(", nothing was changed" if refused(record) else "")
    if record.attempt > 1:
        text.append(f", {record.attempt} attempts")
    return text


def _rate(rows: int, seconds: float) -> str:
    return f"{number(rows / seconds if seconds > 0 else 0)} rows/s"


def rejection_lines(record: RunRecord) -> list[Text]:
    """``public.trip: up to 3.1 % of the drawn rows broke a rule of draw and were drawn again``, one line per table."""
    return [
        Text(
            f"{model.name}: up to {100 * model.rejected:.1f} % of the drawn rows broke a rule of draw and were drawn again"
        )
        for model in record.models
        if model.rejected
    ]


def loss_lines(record: RunRecord) -> list[Text]:
    """``lost: generator-01jd… at 12:00:31 UTC, likely killed for memory (250.1 MiB of 256.0 MiB)``, one line each."""
    lines = []
    for loss in record.lost:
        text = Text.assemble(("lost: ", "yellow"), f"{loss.replica} at {loss.at:%F %T} UTC")
        if loss.memory_limit:
            used = f"{size(loss.memory_bytes)} of {size(loss.memory_limit)}"
            text.append(f", likely killed for memory ({used})" if loss.cause == "memory" else f", used {used}")
        lines.append(text)
    return lines


def idle_lines(record: RunRecord) -> list[Text]:
    """``15 generators, 12 partitions: 3 of them have nothing to do in this run``, a line per stage of a run that loads."""
    if record.terminal or record.lanes:
        return []
    most = record.job.limits.partitions
    return [
        Text(
            f"{stage.replicas} {name}s, {most} partitions: {stage.replicas - most} of them have nothing to do in this run"
        )
        for name, stage in record.stages.items()
        if stage.replicas > most
    ]


def table_rows(record: RunRecord) -> Table:
    """Rows read and loaded per table; of a run that follows its source also how far each is behind."""
    lags = {} if record.terminal else {t.table: lag for t in record.tables if (lag := table_lag(t, record.updated_at))}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("table")
    table.add_column("rows read", justify="right")
    table.add_column("rows loaded", justify="right")
    if lags:
        table.add_column("lag", justify="right")
        table.add_column("behind", justify="right")
    table.add_column("state")
    for entry in record.tables:
        state = f"{entry.state}: {escape(entry.why)}" if entry.why else entry.state
        lag = lags.get(entry.table)
        said = (duration(lag.seconds), size(lag.bytes)) if lag else ("–", "–")
        rows = number(entry.rows_read), number(entry.rows_loaded)
        table.add_row(escape(entry.name), *rows, *(said if lags else ()), state)
    return table


def check_lines(checks: Iterable[Check], *, all_lines: bool = False) -> Text:
    """Verification: what failed by name, what passed by kind and count (or every line)."""
    text = Text()
    passed: dict[str, int] = {}
    for check in checks:
        if check.passed and not all_lines:
            kind = check_kind(check.name)
            passed[kind] = passed.get(kind, 0) + 1
            continue
        mark, style = ("✓", "green") if check.passed else ("✗", "bold red")
        text.append(f"{mark} {check.name}", style)
        text.append(f"  {check.detail}\n" if check.detail else "\n")
    for kind, count in passed.items():
        text.append(f"✓ {kind}", "green")
        text.append(f"  {count} of {count} hold\n")
    text.right_crop(1)
    return text


def check_kind(name: str) -> str:
    """``foreign key`` of ``foreign key orders_customer_fkey``: the words before the thing that was checked."""
    for kind in ("foreign key", "not null"):
        if name.lower().startswith(kind):
            return kind
    return name.split(" ", 1)[0]
