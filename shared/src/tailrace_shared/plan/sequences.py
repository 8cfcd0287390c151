"""Sequences of the destination that feed carried columns: they must not hand out what was loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.plan.model import PlannedColumn, PlannedTable, SequenceStep
from tailrace_shared.plan.problems import Problems

NUMBERS: Final = frozenset({"integer", "number"})
"""Families whose largest value says where a sequence has to go on."""


def sequence_steps(
    tables: Iterable[PlannedTable], destination: Catalogue, problems: Problems
) -> tuple[SequenceStep, ...]:
    """Owned ones, and those that only a column's default, or its domain's, draws from."""
    fed: dict[tuple[TableName, str], tuple[int, PlannedColumn]] = {
        (t.name, c.name): (t.number, c) for t in tables for c in t.columns
    }
    steps = []
    for sequence in destination.sequences:
        if not sequence.owner or not sequence.owner_column:
            continue
        number, column = fed.get((sequence.owner, sequence.owner_column), (-1, None))
        if column is None:
            continue
        if column.destination_type.family in NUMBERS:
            steps.append(
                SequenceStep(
                    schema_name=sequence.schema_name, name=sequence.name, table=number, column=sequence.owner_column
                )
            )
        else:
            problems.warning(
                "sequence-in-text", f"{sequence.owner}.{sequence.owner_column}",
                f"its default makes {column.destination_type.name} of numbers of {sequence.schema_name}.{sequence.name}, "
                "which stays where it is in the destination: a new value may meet a loaded one",
                "Set the sequence after the run (setval) above the source's, where new rows are to come.",
            )  # fmt: skip
    return tuple(steps)
