"""Pictures as inline SVG: no script, no font, no network; colours are the page's style's, also in the dark and in print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from tailrace.quality.forms import percent
from tailrace.quality.model import Bars, Gate, PairQuality

WIDTH: Final = 320
HEIGHT: Final = 96
LABEL_WIDTH: Final = 122
ROW: Final = 20
CELL: Final = 15
LABEL_CHARS: Final = 19
HEAT_COLUMNS_MAX: Final = 30
HEAT_SCALE: Final = 1.5
FAR: Final = 0.1
"""Distance beyond chance at which a pair is drawn in full colour."""


def svg(width: float, height: float, body: str, label: str, largest: float = 0) -> str:
    """A picture with a title for whoever cannot see it; ``largest`` is how wide it may become."""
    style = f' style="max-width:{largest:g}px"' if largest else ""
    return f'<svg{style} viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>'


def bars_picture(bars: Bars, label: str, form: Callable[[float], str], k: int) -> str:
    """Numbers as two histograms over one another, names and ranks as pairs of bars."""
    return _histogram(bars, label, form) if bars.edges else _rows(bars, label, k)


def _histogram(bars: Bars, label: str, form: Callable[[float], str]) -> str:
    top = max([share or 0.0 for share in (*bars.before, *bars.after)] or [1.0]) or 1.0
    step = WIDTH / len(bars.before)
    body = []
    for place, share in enumerate(bars.after):
        height = (share or 0.0) / top * HEIGHT
        body.append(_rect(place * step + 0.6, HEIGHT - height, step - 1.2, height, "there"))
    path = [f"M0 {HEIGHT:g}"]
    for place, share in enumerate(bars.before):
        y = HEIGHT - (share or 0.0) / top * HEIGHT
        path.append(f"L{place * step:.1f} {y:.1f} L{(place + 1) * step:.1f} {y:.1f}")
    path.append(f"L{WIDTH} {HEIGHT:g}")
    body.append(f'<path class="outline" d="{" ".join(path)}"/>')
    body.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>')
    middle = bars.edges[len(bars.edges) // 2]
    for x, anchor, value in (
        (0, "start", bars.edges[0]),
        (WIDTH / 2, "middle", middle),
        (WIDTH, "end", bars.edges[-1]),
    ):
        body.append(f'<text x="{x:g}" y="{HEIGHT + 13}" text-anchor="{anchor}">{escape(form(value))}</text>')
    return svg(WIDTH, HEIGHT + 17, "".join(body), label)


def _rows(bars: Bars, label: str, k: int) -> str:
    labels = bars.labels or tuple(f"rank {place + 1}" for place in range(len(bars.before)))
    top = max([share or 0.0 for share in (*bars.before, *bars.after)]) or 1.0
    room = WIDTH - LABEL_WIDTH - 50
    body = []
    for place, (name, before, after) in enumerate(zip(labels, bars.before, bars.after, strict=True)):
        y = place * ROW
        shown = name if len(name) <= LABEL_CHARS else name[: LABEL_CHARS - 1] + "…"
        body.append(f'<text x="{LABEL_WIDTH - 6}" y="{y + 13}" text-anchor="end">{escape(shown)}</text>')
        body.append(_rect(LABEL_WIDTH, y + 2, (before or 0) / top * room, 6.5, "source"))
        body.append(_rect(LABEL_WIDTH, y + 9.5, (after or 0) / top * room, 6.5, "there"))
        said = f"under {k}" if before is None or after is None else f"{100 * after:.1f} %"
        wide = max(before or 0, after or 0) / top * room
        body.append(f'<text x="{LABEL_WIDTH + wide + 4:.1f}" y="{y + 13}">{said}</text>')
    return svg(WIDTH, len(labels) * ROW + 2, "".join(body), label)


def gate_picture(gate: Gate) -> str:
    """Where the figure lies between what chance gives and the limit."""
    if gate.figure is None or gate.limit is None or gate.chance is None:
        return ""
    low = 0.0 if gate.chance < 0.4 else 0.4
    high = max(gate.limit + (gate.limit - low) * 0.35, gate.figure * 1.02, low + 1e-9)

    def at(value: float) -> float:
        return 6 + (min(max(value, low), high) - low) / (high - low) * 164

    body = '<line class="axis" x1="6" x2="170" y1="12" y2="12" stroke-width="3"/>'
    for value, kind in ((gate.chance, "chance"), (gate.limit, "limit")):
        body += f'<line class="{kind}" x1="{at(value):.1f}" x2="{at(value):.1f}" y1="3" y2="21"/>'
    body += f'<circle class="{gate.verdict}" cx="{at(gate.figure):.1f}" cy="12" r="5.5"/>'
    chance, limit = at(gate.chance), at(gate.limit)
    if limit - chance > 58:
        body += (
            f'<text x="{max(chance, 6):.1f}" y="33" text-anchor="{"start" if chance < 20 else "middle"}">chance</text>'
        )
    anchor = "end" if limit > 145 else "middle"
    body += f'<text x="{limit:.1f}" y="33" text-anchor="{anchor}">limit</text>'
    return svg(176, 37, body, f"{gate.title}: {gate.figure:.3g}, by chance {gate.chance:.3g}, limit {gate.limit:.3g}")


def heat_picture(names: Sequence[str], pairs: Sequence[PairQuality]) -> str:
    """Every pair of columns as a cell: the farther beyond chance, the stronger. Empty where there are too many columns."""
    size = len(names)
    if not 3 <= size <= HEAT_COLUMNS_MAX:
        return ""
    place = {name: number for number, name in enumerate(names)}
    body = []
    for row, name in enumerate(names):
        shown = name if len(name) < LABEL_CHARS - 2 else name[: LABEL_CHARS - 4] + "…"
        body.append(
            f'<text x="{LABEL_WIDTH - 4}" y="{row * CELL + 11}" text-anchor="end">{escape(shown)} {row + 1}</text>'
        )
        body.append(
            f'<text x="{LABEL_WIDTH + row * CELL + CELL / 2 - 1}" y="{row * CELL + 11}" text-anchor="middle">{row + 1}</text>'
        )
    for pair in pairs:
        first, second = sorted((place[pair.first], place[pair.second]))
        x, y = LABEL_WIDTH + first * CELL, second * CELL
        said = f"{pair.first} and {pair.second}: {percent(pair.shared)}, by chance {percent(pair.floor)}"
        strength = min(1.0, max(0.0, pair.shared - pair.floor) / FAR)
        body.append(_rect(x, y, CELL - 1.5, CELL - 1.5, "cell"))
        body.append(
            f'<rect class="far" x="{x}" y="{y}" width="{CELL - 1.5}" height="{CELL - 1.5}" fill-opacity="{strength:.2f}">'
            f"<title>{escape(said)}</title></rect>"
        )
    return svg(
        LABEL_WIDTH + size * CELL,
        size * CELL,
        "".join(body),
        "How far each pair of columns is from the source, beyond chance",
        largest=HEAT_SCALE * (LABEL_WIDTH + size * CELL),
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"/>'
    )
