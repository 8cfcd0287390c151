"""The page's part about columns: a card for each that has a picture, a line for each on how it is protected."""

from __future__ import annotations

from html import escape
from typing import Final

from tailrace.quality.forms import DAY, form_of, number, percent
from tailrace.quality.markup import stacked
from tailrace.quality.model import ColumnQuality, Summary, TableQuality
from tailrace.quality.plots import bars_picture
from tailrace_shared.detect import LABELS

CARDS_MAX: Final = 60
"""Of a wide table the farthest columns have a card; all are in the list."""
HOW: Final = {
    "profile": "; values renamed: compared by rank",
    "counts": "; by counts alone",
    "values": "",
}


def column_cards(table: TableQuality, k: int) -> str:
    """Cards, the farthest beyond chance first."""
    ordered = sorted(table.columns, key=lambda column: (column.floor or 0.0) - (column.error or 0.0))
    ordered.sort(key=lambda column: (column.error is None, column.bars is None))
    cards = "".join(_card(column, k) for column in ordered[:CARDS_MAX])
    rest = len(ordered) - CARDS_MAX
    more = f'<p class="small soft">{rest:,} more columns are nearer to the source than these.</p>' if rest > 0 else ""
    return f'<div class="grid">{cards}</div>{more}'


def _card(column: ColumnQuality, k: int) -> str:
    form = form_of(column)
    figure = "" if column.error is None else f"{percent(column.error)}"
    chance = "" if column.floor is None else f" · {percent(column.floor)} by chance"
    how = HOW[column.compared]
    label = f"Distribution of {column.name} in source and destination"
    picture = bars_picture(column.bars, label, form, k) if column.bars else ""
    return (
        f'<article class="card"><div class="head"><h4>{escape(column.name)}</h4><span class="figure">{figure}</span></div>'
        f'<div class="small soft">{escape(column.generator)}{chance}{how}</div>{picture}{_facts(column)}</article>'
    )


def _facts(column: ColumnQuality) -> str:
    form = form_of(column)
    before, after = column.before, column.after
    rows = [
        ("NULL", percent(before.nulls), percent(after.nulls)),
        ("different values", f"{before.distinct:,}", f"{after.distinct:,}"),
    ]
    if before.mean is not None or after.mean is not None:
        rows.append(("mean", _said(before.mean, form), _said(after.mean, form)))
        rows.append(("spread", _spread(column, before), _spread(column, after)))
    if before.quantiles and after.quantiles:
        for place, name in ((0, "5 %"), (2, "median"), (4, "95 %")):
            rows.append((name, form(before.quantiles[place]), form(after.quantiles[place])))
    if before.length is not None or after.length is not None:
        rows.append(("mean length", number(before.length), number(after.length)))
    lines = "".join(f"<tr><th>{name}</th><td>{escape(one)}</td><td>{escape(two)}</td></tr>" for name, one, two in rows)
    head = "<tr><th></th><th>source</th><th>destination</th></tr>"
    return f'<table class="facts"><thead>{head}</thead><tbody>{lines}</tbody></table>'


def _said(value: float | None, form: object) -> str:
    return "–" if value is None or not callable(form) else str(form(value))


def _spread(column: ColumnQuality, side: Summary) -> str:
    if side.spread is None:
        return "–"
    return f"{side.spread / DAY:,.1f} d" if column.kind == "moment" else number(side.spread)


def protection_list(table: TableQuality) -> str:
    """Every column's generator; unmasked ones that look personal stand out."""
    names = ("column", "type", "generator", "protection")
    return stacked(names, map(_protected, table.columns), names)


def _protected(column: ColumnQuality) -> tuple[str, str, str, str]:
    if column.masked:
        said = "masked: no original value arrives"
    elif column.generator == "ai":
        said = "drawn from a model"
    elif column.generator == "duplicate":
        said = "carried as it is"
    else:
        said = "made or fixed, not read"
    if column.looks_like:
        label = LABELS.get(column.looks_like, column.looks_like)  # type: ignore[call-overload]
        said = f'<span class="warn">carried as it is, and looks like: {escape(str(label))}</span>'
    return escape(column.name), escape(column.type), escape(column.generator), said
