"""Pieces of HTML that the page's parts share. What is handed in as a cell is HTML already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape


def stacked(names: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[str] = ()) -> str:
    """A table that becomes a list of blocks on a phone. The first column and those in ``words`` are text, others numbers."""
    kinds = ["" if place == 0 or name in words else ' class="n"' for place, name in enumerate(names)]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, names, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell(kind, name, cell) for kind, name, cell in zip(kinds, names, row, strict=True))}</tr>"
        for row in rows
    )
    return f'<table class="list stack"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def small(text: str) -> str:
    """A remark, from HTML."""
    return f'<p class="small soft">{text}</p>'


def _cell(kind: str, name: str, cell: str) -> str:
    return f'<td{kind} data-name="{escape(name)}">{cell}</td>'
