"""Sequences of the destination that feed carried columns: they must not hand out what was loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Sequence, TableName
from tailrace_shared.generators import Key
from tailrace_shared.generators.regions import first_free_above
from tailrace_shared.plan.model import PlannedColumn, PlannedTable, SequenceStep
from tailrace_shared.plan.problems import Problems

NUMBERS: Final = frozenset({"integer", "number"})
"""Families whose largest value says where a sequence has to go on."""
FULL: Final = {"smallint": 2**15 - 1, "integer": 2**31 - 1}
"""Where a sequence of a type ends by itself; else at the end of bigint."""


def sequence_steps(
    tables: Iterable[PlannedTable],
    destination: Catalogue,
    problems: Problems,
    largest: Mapping[str, int] = MappingProxyType({}),
) -> tuple[SequenceStep, ...]:
    """Owned ones, and those that only a column's default, or its domain's, draws from. ``largest``: keys of the source."""
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
            _check_end(sequence, column, largest.get(f"{sequence.owner}.{sequence.owner_column}", 0), problems)
        else:
            problems.warning(
                "sequence-in-text", f"{sequence.owner}.{sequence.owner_column}",
                f"its default makes {column.destination_type.name} of numbers of {sequence.schema_name}.{sequence.name}, "
                "which stays where it is in the destination: a new value may meet a loaded one",
                "Set the sequence after the run (setval) above the source's, where new rows are to come.",
            )  # fmt: skip
    return tuple(steps)


def _check_end(sequence: Sequence, column: PlannedColumn, largest: int, problems: Problems) -> None:
    """Of a sequence whose MAXVALUE lies in the region of the masked keys, which may be as large as the region."""
    if sequence.increment < 0 or not isinstance(column.rule, Key):
        return
    end = first_free_above(largest)
    if sequence.maximum < min(end, FULL.get(sequence.data_type, 2**63 - 1)):
        problems.warning(
            "sequence-maximum", f"{sequence.owner}.{sequence.owner_column}",
            f"{sequence.schema_name}.{sequence.name} ends at {sequence.maximum:,}, and masked keys reach up to {end - 1:,}: "
            "after the run it may have no free value left",
            "ALTER SEQUENCE … MAXVALUE … there, or duplicate the key.",
        )  # fmt: skip
