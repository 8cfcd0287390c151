"""The page: whole, self-contained, laid out in a real browser without anything that sticks out, and silent about single rows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from support.browser import Browser
from tailrace.quality import learners
from tailrace.quality.columns import Column, numbers
from tailrace.quality.judge import Subject, judge
from tailrace.quality.metrics_file import metrics_text
from tailrace.quality.model import QualityReport, RunFacts, SequenceQuality, TableQuality, worst
from tailrace.quality.page import page
from tailrace.quality.sequences import Events, sequence_distances
from tailrace.quality.treatment import Treatment
from tailrace_shared.messages import Check
from tailrace_shared.types import Family

PHONE, DESK, PAPER = 360, 1200, 680
VOID = frozenset({"meta", "rect", "path", "line", "circle", "br"})
LONG = "a_column_with_a_name_that_nobody_can_read_in_one_breath_and_63ch"


def texts(values: list[str | None], kind: str = "name") -> Column:
    return Column(kind, texts=pa.array(values, pa.string()))  # type: ignore[arg-type]


def rows(size: int, seed: int, shift: float = 0.0) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(8 + shift, 1, size)
    plans = rng.choice(
        ["basic", "<b>family</b>", "business & more, with a name of more than forty characters"],
        size,
        p=[0.6, 0.3, 0.1],
    )
    return {
        "id": numbers(np.arange(size) + seed * 10_000).as_kind("opaque"),
        "amount": numbers(np.where(rng.random(size) < 0.1, np.nan, amount)),
        "age": numbers(rng.integers(18, 90, size)),
        "born": Column("moment", numbers=rng.uniform(-1e9, 1e9, size)),
        "plan": texts(plans.tolist()),
        LONG: texts([None if r < 0.5 else "x" for r in rng.random(size)]),
        "name": texts([f"Secret Person {seed} {n // 4}" for n in range(size)]),
        "note": texts([f"confidential {seed} {n}" for n in range(size)], "opaque"),
        "nothing": texts([None] * size),
        "constant": numbers(np.full(size, 7.0)),
    }


FAMILIES: dict[str, Family] = {
    "amount": "number", "age": "integer", "born": "date", "plan": "text", LONG: "text", "note": "text", "nothing": "text",
    "constant": "integer",
}  # fmt: skip


def treatments(made: bool) -> tuple[Treatment, ...]:
    learned = "ai" if made else "duplicate"
    found = [Treatment.of("id", "integer", "integer", "key", masked=not made, key=True)]
    for name, family in FAMILIES.items():
        looks = "free_text" if name == "note" and not made else ""
        type_ = "date" if family == "date" else "numeric(12,2)"
        found.append(Treatment.of(name, type_, family, learned, masked=False, key=False, looks_like=looks))
    found.append(Treatment.of("name", "text", "text", "mock.full_name", masked=True, key=False))
    return tuple(found)


def table(name: str, made: bool, *, copied: bool = False, shift: float = 0.0) -> TableQuality:
    real = rows(800, 1)
    owner = np.sort(np.random.default_rng(3).integers(0, 300, 800))
    events = Events(320, owner, real["born"].values, {"amount": real["amount"], "plan": real["plan"]})
    sequence = SequenceQuality(
        table=name,
        parent="public.customer_of_the_company",
        key="order_customer_fkey",
        order="born",
        parents=(320, 320),
        statistics=sequence_distances(events, events),
    )
    subject = Subject(
        name,
        made,
        treatments(made),
        real,
        rows(800, 2),
        real if copied else rows(800, 3, shift),
        held_out=rows(800, 4) if made else None,
        sequences=(sequence,),
    )
    return judge(subject, seed=1, k=10)


@pytest.fixture(scope="module")
def report() -> QualityReport:
    tables = (
        table("public.purchase", True),
        table("public.leaking", True, copied=True),
        table("public.customer", False, shift=0.5),
    )
    return QualityReport(
        made_at="2026-11-24T16:00:00+00:00", job="shop-to-staging", source="shop", destination="shop_staging", seed=1, k=10,
        verdict=worst(gate for one in tables for gate in one.gates),
        run=RunFacts(
            run="01ARZ3NDEKTSV4RRFFQ69G5FAV", state="done", finished_at="", same_job=False,
            checks=(Check(name="leak public.customer.name", passed=True, detail=""),),
        ),
        tables=tables, left_out={"public.audit": "the destination has no row"},
    )  # fmt: skip


class Balanced(HTMLParser):
    """Raises where a tag is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert not (name in ("src", "href") and not str(value).startswith("#")), value

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing_outside(report: QualityReport) -> None:
    parser = Balanced()
    parser.feed(page(report))
    assert parser.open == []
    assert "<script" not in page(report)
    assert not re.search(r"url\(|@import|https?://", page(report))


def test_names_are_text_not_markup(report: QualityReport) -> None:
    assert "<b>family" not in page(report)
    assert "&lt;b&gt;family" in page(report)


def test_nothing_of_a_single_row_is_written(report: QualityReport) -> None:
    written = page(report) + report.model_dump_json() + metrics_text(report)
    assert "Secret Person" not in written
    assert "confidential" not in written


def test_the_worst_gate_is_what_is_said_first(report: QualityReport) -> None:
    assert report.verdict == "fail"
    assert page(report).index("Do not hand this out") < page(report).index("public.purchase")
    passed = report.model_copy(update={"tables": report.tables[:1], "verdict": worst(report.tables[0].gates)})
    assert "All measured privacy gates passed" in page(passed)
    assert (
        'tailrace_quality_gate{gate="copies",table="public.leaking",tailrace_job="shop-to-staging"} 2.0'
        in metrics_text(report)
    )


def test_a_run_that_failed_says_so_first_and_then_what_did_not_hold() -> None:
    wrong = Check(name="leak public.customer.name", passed=False, detail="3 of 1,000 <values>")
    run = RunFacts(
        run="R1", state="failed", finished_at="", same_job=True, checks=(wrong,), why="it <gave> up (stage.failed)"
    )
    failed = QualityReport(
        made_at="2026-11-24T16:00:00+00:00", job="j", source="a", destination="b", seed=1, k=10, verdict="unmeasured",
        run=run, tables=(), left_out={"all tables": "nothing that it loaded is there"},
    )  # fmt: skip
    text = page(failed)
    assert 'class="sheet verdict fail"><div><strong>The run failed</strong><p>it &lt;gave&gt; up' in text
    assert text.index("it &lt;gave&gt; up") < text.index("3 of 1,000 &lt;values&gt;") < text.index("Not compared")
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []


def test_detection_and_usefulness_are_measured_where_scikit_learn_is(report: QualityReport) -> None:
    if not learners.available():
        assert "pip install 'tailrace[report]'" in " ".join(report.tables[0].notes)
        return
    assert report.tables[0].detection == pytest.approx(0.5, abs=0.07)
    assert report.tables[0].usefulness is not None
    assert report.tables[2].detection is None, "of masked rows it says nothing"


def test_an_unmasked_text_that_nobody_else_has_singles_out(report: QualityReport) -> None:
    (gate,) = report.tables[2].gates
    assert (gate.name, gate.verdict, gate.figure) == ("linkage", "warn", 1.0)
    harmless = tuple(t for t in treatments(False) if t.name in ("plan", "constant", "id", "name"))
    subject = Subject("t", False, harmless, rows(800, 1), rows(800, 2), rows(800, 3))
    assert [gate.verdict for gate in judge(subject).gates] == ["pass"]


def test_a_json_report_is_read_back_as_it_was(report: QualityReport) -> None:
    assert QualityReport.model_validate_json(report.model_dump_json()) == report


def test_in_a_browser_nothing_sticks_out_on_a_phone_a_desk_and_paper(report: QualityReport, tmp_path: Path) -> None:
    browser = Browser.installed(tmp_path)
    if browser is None:
        pytest.skip("no browser: apt-get install chromium lays the page out in a real one")
    on_paper = (
        page(report).replace("@media print", "@media all").replace("@media (prefers-color-scheme: dark)", "@media none")
    )
    for text, width in ((page(report), PHONE), (page(report), DESK), (on_paper, PAPER)):
        found = browser.measure(text, width)
        assert found["scroll"] == found["width"] == width, str(found)
        assert (found["out"], found["cut"], found["over"]) == ([], [], []), (width, found)
        assert found["pictures"] > 20  # type: ignore[operator]
    file = tmp_path / "quality.html"
    file.write_text(page(report), "utf-8")
    assert browser.screenshot(file, PHONE, 2400).startswith(b"\x89PNG")
    assert browser.printed(file).startswith(b"%PDF")
