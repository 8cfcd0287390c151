"""A preview in words: per row, every column's generator, its value before and after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from tailrace.plan_view import describe_rule
from tailrace.preview_rows import Preview, Row

CHARS_SHOWN: Final = 60
"""Of a value; the rest is told by an ellipsis. `--json` gives it in full."""


def preview_table(found: Preview, *, after_only: bool) -> Table:
    """One block of lines per row; changed values are set off."""
    after_only = after_only or found.table.mode == "generate"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=str(found.table.name), title_justify="left")
    for name in ("column", "generator", *(() if after_only else ("before",)), "after"):
        table.add_column(Text(name), overflow="fold")
    for before, after in _pairs(found):
        for column, old, new in zip(found.table.columns, before, after, strict=True):
            shown = [] if after_only else [_shown(old)]
            style = "bold green" if column.rule.generator != "duplicate" else ""
            table.add_row(Text(visible(column.name)), Text(describe_rule(column.rule)), *shown, _shown(new, style))
        table.add_section()
    return table


def preview_data(found: Preview, *, after_only: bool) -> dict[str, Any]:
    """For programs: columns with their generators, rows with values by column, NULL as null."""
    after_only = after_only or found.table.mode == "generate"
    names = [column.name for column in found.table.columns]
    rows = [
        ({} if after_only else {"before": dict(zip(names, before, strict=True))})
        | {"after": dict(zip(names, after, strict=True))}
        for before, after in _pairs(found)
    ]
    return {
        "table": str(found.table.name),
        "columns": [{"name": c.name, "generator": c.rule.generator, "why": c.why} for c in found.table.columns],
        "rows": rows,
    }


def _pairs(found: Preview) -> Iterable[tuple[Row, Row]]:
    """Rows before and after; made ones have nothing before."""
    return zip(found.before or found.after, found.after, strict=True)


def visible(text: str) -> str:
    """Control characters spelled out: a value must not steer the terminal that it is shown on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shown(value: str | None, style: str = "") -> Text:
    if value is None:
        return Text("NULL", style="dim")
    text = visible(value[: CHARS_SHOWN + 1])
    return Text(text if len(text) <= CHARS_SHOWN else text[: CHARS_SHOWN - 1] + "…", style=style)
