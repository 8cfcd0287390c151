"""The report's form: what ``tailrace quality --json`` prints and the page is made from. It holds no value of a single row.

Shares and errors lie between 0 and 1. ``docs/quality.md`` explains every figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from tailrace.quality.columns import Kind
from tailrace_shared import __version__
from tailrace_shared.messages import Check
from tailrace_shared.types import Frozen

Verdict = Literal["pass", "warn", "fail", "unmeasured"]
Compared = Literal["values", "profile", "counts"]
"""How a column is compared. ``values``: they mean the same on both sides. ``profile``: values are renamed by a mask, so how
often the most frequent, the second … occurs. ``counts``: keys and free text, of which lengths and counts alone mean something."""


class Summary(Frozen):
    """One side of a column. Numbers are means over at least k values, rounded to three digits; None where there are too few."""

    nulls: float
    """Share of NULL."""
    distinct: int
    """Different values in the sample."""
    mean: float | None = None
    spread: float | None = None
    """Standard deviation."""
    quantiles: tuple[float, ...] = ()
    """At 5, 25, 50, 75 and 95 %; of moments in seconds."""
    length: float | None = None
    """Mean number of characters, of text; what is beyond 256 is not counted."""


class Bars(Frozen):
    """A column's distribution on both sides. A share that fewer than k rows of the source make up is None."""

    labels: tuple[str, ...] = ()
    """Of names: values that at least k rows of the source share; empty where they are masked. "others" is the rest."""
    edges: tuple[float, ...] = ()
    """Of numbers and moments: one more than there are bars; the first and last take in what lies beyond."""
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]


class ColumnQuality(Frozen):
    name: str
    type: str
    generator: str
    masked: bool
    kind: Kind
    compared: Compared
    error: float | None
    """Distance between source and destination; None of columns that are compared by counts."""
    floor: float | None
    """The same between two samples of the source: what chance makes."""
    before: Summary
    after: Summary
    bars: Bars | None = None
    looks_like: str = ""
    """Personal data that an unmasked column may hold, by its name and type; empty where nothing is suspected."""


class PairQuality(Frozen):
    first: str
    second: str
    own: float
    """With the bins of each side's own extremes."""
    shared: float
    """With the source's bins on both sides."""
    floor: float
    """Shared, between two samples of the source."""


class Gate(Frozen):
    """One question about privacy, and its answer."""

    name: str
    """Stable: ``copies``."""
    title: str
    verdict: Verdict
    figure: float | None
    """What is judged; None where it was not measured."""
    chance: float | None
    """What it is where nothing was memorised."""
    limit: float | None
    """Beyond this it fails (or warns, where it can only warn)."""
    detail: str
    """What was counted."""
    meaning: str
    """In plain words, for somebody who decides and does not calculate."""


class Distance(Frozen):
    """One statistic of a sequence."""

    name: str
    before: float | None
    after: float | None
    error: float


class SequenceQuality(Frozen):
    """Rows that belong to one row of another table: how many, in which order, how far apart."""

    table: str
    parent: str
    key: str
    """The foreign key."""
    order: str
    """The column that orders them; empty where there is none, and lengths alone are compared."""
    parents: tuple[int, int]
    """Looked at, source and destination."""
    statistics: tuple[Distance, ...]


class Usefulness(Frozen):
    """A model that predicts one column, learned from the destination and from the source, both tried on real rows."""

    target: str
    measure: Literal["AUC", "R2"]
    real: float
    made: float
    ratio: float
    """Of the two; 1 where the made rows teach as much."""


class TableQuality(Frozen):
    name: str
    made: bool
    """Rows are synthetic; otherwise each is a masked row of the source."""
    rows: tuple[int, int]
    """Sampled of source and destination."""
    estimated: tuple[int, int] = (0, 0)
    """Rows that the tables have, roughly."""
    shape: float | None
    """Mean error of the columns that are compared."""
    shape_floor: float | None
    trend: float | None
    """Mean error of the pairs, own bins."""
    trend_shared: float | None
    trend_floor: float | None
    pairs_left_out: int = 0
    """More pairs than are looked at."""
    detection: float | None = None
    """AUC of a gradient-boosted classifier that tells source from destination; 0.5 is best."""
    usefulness: Usefulness | None = None
    columns: tuple[ColumnQuality, ...]
    pairs: tuple[PairQuality, ...]
    """The farthest first, at most 500."""
    gates: tuple[Gate, ...]
    sequences: tuple[SequenceQuality, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be measured, and why."""


class RunFacts(Frozen):
    """The run that loaded the destination, as its state table has it."""

    run: str
    state: str
    finished_at: str
    same_job: bool
    checks: tuple[Check, ...]
    why: str = ""
    """Of a run that failed."""
    later: str = ""
    """A later run that is done in the same destination, whose rows may be those that are there now."""


class QualityReport(Frozen):
    """What is written down."""

    format: Literal["tailrace-quality-1"] = "tailrace-quality-1"
    release: str = __version__
    made_at: str
    """UTC, ISO 8601."""
    job: str
    source: str
    """Database or file."""
    destination: str
    seed: int
    k: int
    """Fewest rows behind anything that is shown."""
    verdict: Verdict
    """The worst of all gates; unmeasured where none was measured."""
    run: RunFacts | None = None
    why_no_run: str = ""
    tables: tuple[TableQuality, ...]
    left_out: dict[str, str] = Field(default_factory=dict)
    """Tables that were not compared, and why."""


def worst(gates: Iterable[Gate]) -> Verdict:
    """Of all gates; unmeasured where none was measured."""
    found = {gate.verdict for gate in gates}
    ordered: tuple[Verdict, ...] = ("fail", "warn", "pass")
    return next((verdict for verdict in ordered if verdict in found), "unmeasured")
