"""Detection over a few hundred labelled columns, and the rules that carry it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from support.catalogues import column
from tailrace_shared.detect import Entity, Finding, detect

LABELLED = Path(__file__).with_name("labelled.txt")


class Label(NamedTuple):
    table: str
    column: str
    type: str
    entity: Entity | None


class Score(NamedTuple):
    """How detection does on a set of labels: what is personal, and as what."""

    precision: float
    recall: float
    kind: float
    """Of the columns that are rightly found, the share with the right entity."""
    wrong: list[str]


def labels(part: str) -> list[Label]:
    section = LABELLED.read_text().partition(f"[{part}]\n")[2].partition("\n[")[0]
    return [
        Label(table, name, kind, None if entity == "-" else entity)  # type: ignore[arg-type]
        for table, name, kind, entity in (line.split() for line in section.splitlines())
    ]


def found(label: Label) -> Finding | None:
    return detect(column(f"{label.column} {label.type}"), label.table)


def score(part: str) -> Score:
    hits, kinds, said, personal, wrong = 0, 0, 0, 0, []
    for label in labels(part):
        finding = found(label)
        personal += label.entity is not None
        said += finding is not None
        if finding and label.entity:
            hits += 1
            kinds += finding.entity == label.entity
        if (finding.entity if finding else None) != label.entity:
            wrong.append(f"{label.table}.{label.column} {label.type}: {label.entity}, found {finding}")
    return Score(hits / said, hits / personal, kinds / hits, wrong)


@pytest.mark.parametrize(
    ("part", "precision", "recall", "kind"), [("development", 0.97, 0.98, 0.98), ("held-out", 0.95, 0.92, 0.92)]
)
def test_precision_and_recall_hold_their_margins(part: str, precision: float, recall: float, kind: float) -> None:
    reached = score(part)
    print(
        f"{part}: {len(labels(part))} columns, precision {reached.precision:.3f}, recall {reached.recall:.3f}, "
        f"right kind {reached.kind:.3f}"
    )
    print("\n".join(reached.wrong))
    assert reached.precision >= precision
    assert reached.recall >= recall
    assert reached.kind >= kind
