"""A report as one HTML file: no script, no font, no network; for a phone, a desk, the dark and paper."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from tailrace.quality.forms import number, percent
from tailrace.quality.markup import small, stacked
from tailrace.quality.model import Gate, QualityReport, TableQuality, Verdict, worst
from tailrace.quality.page_columns import column_cards, protection_list
from tailrace.quality.plots import gate_picture, heat_picture

WORDS: dict[Verdict, str] = {"pass": "passed", "warn": "look here", "fail": "failed", "unmeasured": "not measured"}
FARTHEST_PAIRS = 8
NAMED_MAX = 6
WRONG_MAX = 50
FAR_BEYOND = 0.01
"""Of a pair, beyond chance: what is named in words."""


def page(report: QualityReport) -> str:
    """The whole file."""
    style = files("tailrace.quality").joinpath("page.css").read_text("utf-8")
    body = [_top(report)]
    if report.tables:
        body.append(_key())
    if len(report.tables) > 1:
        body.append(_overview(report))
    body += [_table(table, place, report) for place, table in enumerate(report.tables)]
    body += [_checks(report), _foot(report)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Quality and privacy: {escape(report.job)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def pill(verdict: Verdict) -> str:
    """A verdict as a word in its colour."""
    return f'<span class="pill {verdict}">{WORDS[verdict]}</span>'


def _top(report: QualityReport) -> str:
    tables = "1 table" if len(report.tables) == 1 else f"{len(report.tables)} tables"
    strong, said = _sentence(report)
    run = "of no run"
    if report.run is not None:
        run = f"run <code>{escape(report.run.run)}</code>, {escape(report.run.state)}"
        if not report.run.same_job:
            run += " (of another version of the job)"
        if report.run.later:
            run += f"; run <code>{escape(report.run.later)}</code> has loaded this destination since"
    elif report.why_no_run:
        run = escape(report.why_no_run)
    ends = f"<code>{escape(report.source)}</code> → <code>{escape(report.destination)}</code>"
    made = escape(report.made_at.replace("T", " ")[:16])
    looks = "fail" if report.run is not None and report.run.why else report.verdict
    return (
        f'<header><h1>Quality and privacy</h1><p class="soft">Job <b>{escape(report.job)}</b>: {ends}, {tables}; {run}. '
        f"Made {made} UTC.</p>"
        f'<div class="sheet verdict {looks}"><div><strong>{strong}</strong><p>{said}</p></div></div></header>'
    )


def _sentence(report: QualityReport) -> tuple[str, str]:
    if report.run is not None and report.run.why:
        return "The run failed", escape(report.run.why)
    gates = [gate for table in report.tables for gate in table.gates]
    unmeasured = sum(gate.verdict == "unmeasured" for gate in gates)
    rest = (
        f" {unmeasured} of {len(gates)} questions could not be answered; each says what it needs." if unmeasured else ""
    )
    if report.verdict == "fail":
        return "Do not hand this out", f"A privacy gate failed. {_those(report, 'fail')}.{rest}"
    if report.verdict == "warn":
        return "No gate failed, some want a look", f"{_those(report, 'warn')}.{rest}"
    if report.verdict == "pass":
        return "All measured privacy gates passed", f"Nothing that was looked at gives a person away.{rest}"
    return "Privacy was not measured", f"The figures below are about likeness only.{rest}"


def _those(report: QualityReport, verdict: Verdict) -> str:
    """Tables with their gates of a verdict."""
    found = {table.name: [g.title.lower() for g in table.gates if g.verdict == verdict] for table in report.tables}
    named = [f"<b>{escape(name)}</b>: {escape(', '.join(titles))}" for name, titles in found.items() if titles]
    more = f"; and {len(named) - NAMED_MAX} more tables" if len(named) > NAMED_MAX else ""
    return "; ".join(named[:NAMED_MAX]) + more


def _key() -> str:
    return (
        '<div class="key"><span><svg viewBox="0 0 24 13"><path class="outline" d="M1 12V4h8V1h7v6h7v5"/></svg>source</span>'
        '<span><svg viewBox="0 0 24 13"><rect class="there" x="1" y="2" width="22" height="10"/></svg>destination</span>'
        "<span>0 % is the same, 100 % has nothing in common; <i>by chance</i> is what two samples of the source give.</span></div>"
    )


def _overview(report: QualityReport) -> str:
    names = ("table", "columns differ", "by chance", "pairs differ", "pairs by chance", "privacy")
    rows = [
        (
            f'<a href="#t{place}">{escape(table.name)}</a>',
            percent(table.shape),
            percent(table.shape_floor),
            percent(table.trend_shared),
            percent(table.trend_floor),
            pill(worst(table.gates)),
        )
        for place, table in enumerate(report.tables)
    ]
    return f"<section><h2>Tables</h2>{stacked(names, rows, ('privacy',))}</section>"


def _table(table: TableQuality, place: int, report: QualityReport) -> str:
    kind = "synthetic rows" if table.made else "masked rows"
    notes = "".join(small(escape(note)) for note in table.notes)
    return (
        f'<section id="t{place}"><div class="head"><h2>{escape(table.name)}</h2><span class="soft small">{kind}; '
        f"{table.rows[0]:,} rows of the source, {table.rows[1]:,} of the destination compared</span></div>"
        f"{_tiles(table)}{notes}<h3>Privacy</h3>{_gates(table)}"
        f"<h3>Columns</h3>{column_cards(table, report.k)}{_pairs(table)}{_sequences(table)}"
        f"<h3>How each column is protected</h3>{protection_list(table)}</section>"
    )


def _tiles(table: TableQuality) -> str:
    found = []
    if table.shape is not None:
        found.append((percent(table.shape), "columns differ", f"{percent(table.shape_floor)} by chance"))
    if table.trend_shared is not None:
        found.append((percent(table.trend_shared), "pairs differ", f"{percent(table.trend_floor)} by chance"))
    if table.detection is not None:
        found.append((f"{table.detection:.3f}", "told apart (AUC)", "0.5 is: not at all"))
    if table.usefulness is not None:
        useful = table.usefulness
        found.append(
            (
                percent(useful.ratio),
                "usefulness",
                f"{useful.measure} {useful.made:.3f} of {useful.real:.3f} for {useful.target}",
            )
        )
    tiles = "".join(
        f'<div class="tile"><b>{escape(figure)}</b><span>{escape(name)}</span><span class="soft">{escape(said)}</span></div>'
        for figure, name, said in found
    )
    return f'<div class="tiles">{tiles}</div>' if tiles else ""


def _gates(table: TableQuality) -> str:
    if not table.gates:
        return '<p class="soft">No unmasked column is compared here, so nothing but the masks tells anything of a person.</p>'
    return f'<div class="gates">{"".join(map(_gate, table.gates))}</div>'


def _gate(gate: Gate) -> str:
    said = escape(gate.meaning) if gate.verdict != "unmeasured" else f"Not measured: {escape(gate.detail)}."
    detail = small(f"{escape(gate.detail)}.") if gate.verdict != "unmeasured" else ""
    return (
        f'<div class="sheet gate"><div>{pill(gate.verdict)}</div><div><h4>{escape(gate.title)}</h4><p>{said}</p>{detail}</div>'
        f"<div>{gate_picture(gate)}</div></div>"
    )


def _pairs(table: TableQuality) -> str:
    if not table.pairs:
        return ""
    paired = {name for pair in table.pairs for name in (pair.first, pair.second)}
    picture = heat_picture([column.name for column in table.columns if column.name in paired], table.pairs)
    rows = [
        (f"{escape(pair.first)} · {escape(pair.second)}", percent(pair.shared), percent(pair.floor), percent(pair.own))
        for pair in table.pairs
        if pair.shared - pair.floor > FAR_BEYOND
    ][:FARTHEST_PAIRS]
    listed = '<p class="soft">No pair is more than 1 % farther than chance.</p>'
    if rows:
        listed = stacked(("farthest pairs", "differ", "by chance", "own bins"), rows)
    heat = f'<div class="sheet heat">{picture}</div>' if picture else ""
    left = small(f"{table.pairs_left_out:,} pairs were not compared.") if table.pairs_left_out else ""
    return f"<h3>How columns go together</h3>{heat}{listed}{left}"


def _sequences(table: TableQuality) -> str:
    found = []
    for sequence in table.sequences:
        ordered = f"in the order of {escape(sequence.order)}" if sequence.order else "whose order is not known"
        looked = f"{sequence.parents[0]:,} parents of the source, {sequence.parents[1]:,} of the destination"
        rows = [
            (escape(one.name), number(one.before), number(one.after), percent(one.error)) for one in sequence.statistics
        ]
        found.append(
            f"<h3>Rows per row of {escape(sequence.parent)}</h3>"
            + small(f"What {escape(sequence.key)} ties to one row, {ordered}; {looked}.")
            + stacked(("statistic", "source", "destination", "differ"), rows)
        )
    return "".join(found)


def _checks(report: QualityReport) -> str:
    """What the run itself has checked, by kind; what does not hold in full."""
    if report.run is None or not report.run.checks:
        return ""
    kinds: dict[str, list[bool]] = {}
    for check in report.run.checks:
        kinds.setdefault(check.name.split(" ")[0], []).append(check.passed)
    rows = [
        (escape(kind), f"{len(held):,}", f"{sum(held):,}", pill("pass" if all(held) else "fail"))
        for kind, held in kinds.items()
    ]
    wrong = [(escape(check.name), escape(check.detail)) for check in report.run.checks if not check.passed]
    named = stacked(("does not hold", "found"), wrong[:WRONG_MAX], ("found",)) if wrong else ""
    more = small(f"and {len(wrong) - WRONG_MAX:,} more, in the JSON") if len(wrong) > WRONG_MAX else ""
    return (
        "<section><h2>What the run has checked</h2>"
        + stacked(("kind", "checks", "hold", "verdict"), rows, ("verdict",))
        + named
        + more
        + small("leak: a scan of masked columns for original values; canaries: strings that must be nowhere.")
        + "</section>"
    )


def _foot(report: QualityReport) -> str:
    out = ""
    if report.left_out:
        rows = [(escape(name), escape(why)) for name, why in report.left_out.items()]
        out = f"<section><h2>Not compared</h2>{stacked(('table', 'why'), rows, ('why',))}</section>"
    return (
        f'{out}<footer class="small soft"><p>Measured in random samples (seed {report.seed}), read through sessions '
        f"that cannot write. Nothing here stands for fewer than {report.k} rows: values that fewer share are left out, extremes "
        f"are the {report.k}-th, quantiles are means over {report.k} rows, and values of renamed columns are not shown. What "
        "samples do not show may still be there: these figures are evidence, not proof.</p>"
        f"<p>Tailrace {escape(report.release)}. Every figure is explained in docs/quality.md.</p></footer>"
    )
