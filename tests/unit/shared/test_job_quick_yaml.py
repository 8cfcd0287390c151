"""Reading a job by libyaml gives what the reader with places gives, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tailrace_shared.errors import UsageError
from tailrace_shared.job import places
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.places import DEPTH_MAX, read_quickly, read_yaml

EXAMPLE = Path(__file__).parents[3] / "docs" / "job-example.yaml"
TEXTS = (
    "a: null\nb: ~\nc:\nd: 2020-01-02\ne: 2020-01-02 03:04:05\nf: on\ng: yes\nh: No\n",
    "a: 1\nb: 1.5\nc: 0x10\nd: 017\ne: 1_000\nf: .inf\ng: 1e3\nh: '1'\ni: \"\\u00e9\\n\"\nj: 12:30\n",
    "a: |\n  one\n   two\nb: >-\n  three\n  four\nc: 'it''s'\n",
    "base: &b {x: 1, y: [1, 2]}\nthere: {<<: *b, x: 2}\nagain: *b\n",
    "? a\n: b\nnull: c\non: d\n3: e\n",
    "# only a comment\n",
    "--- {a: [b, {c: d}], 'ünï 😀': \"ß\"}\n",
)

pytestmark = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")


@pytest.mark.parametrize("text", [*TEXTS, EXAMPLE.read_text()])
def test_what_is_read_quickly_is_what_is_read_with_places(text: str) -> None:
    assert read_quickly(text) == read_yaml(text, "job.yaml")[0]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a: [1\n",
        "a: !!python/object:os.system x\n",
        "a: \x01\n",
        "? [a, b]\n: c\n",
        "a: &x [*x]\n",
        "a: " + "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1),
        "[" * 300_000,
        "- " * 100_000 + "a",
    ],
)
def test_whatever_is_wrong_is_left_to_the_reader_that_can_say_where(text: str) -> None:
    assert read_quickly(text) is None


def test_without_libyaml_jobs_are_read_and_refused_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = EXAMPLE.read_text().replace("policy:", "polcy:")
    with pytest.raises(UsageError) as quick:
        parse_job(wrong)
    job = parse_job(EXAMPLE.read_text())
    monkeypatch.setattr(places, "_QUICK", None)
    with pytest.raises(UsageError) as slow:
        parse_job(wrong)
    assert slow.value.message == quick.value.message
    assert parse_job(EXAMPLE.read_text()) == job
