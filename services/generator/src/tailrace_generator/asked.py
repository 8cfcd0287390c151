"""What a job asks of the rows that are drawn: conditions on columns, rules between them, seeds; as the sampler takes them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import pyarrow as pa

from tailrace_generator.sampling import BLOCK_ROWS, Sampler, of_texts
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import Ai
from tailrace_shared.job.drawing import Combinations
from tailrace_shared.plan.drawing import text_of
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.synthesis.conditions import Among, Between, Condition, Ordered, Rule, Weighted


def drawn(sampler: Sampler, seeds: pa.RecordBatch | None, block: int) -> pa.RecordBatch:
    """A block's rows; with seeds, row n has the values of seed n, and they begin anew when they are used up."""
    first = block * BLOCK_ROWS
    if seeds is None:
        return sampler.rows(first, BLOCK_ROWS)
    turn = (first + np.arange(BLOCK_ROWS)) % seeds.num_rows
    return sampler.complete(seeds.take(pa.array(turn)), first)


def given(columns: Sequence[str], rows: Sequence[Sequence[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    """Seeds of a plan in a model's types. Raises as ``typed`` does."""
    texts = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(columns))]
    return typed(pa.table(texts, names=list(columns)), schema)


def typed(seeds: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """Seeds in a model's types. Raises TerminalError (``sample.seed``) for a column that it lacks, or a value of another type."""
    arrays = []
    for name in seeds.schema.names:
        values = seeds[name].combine_chunks()
        if (at := schema.get_field_index(name)) < 0:
            raise _no_seed(name, "the model does not know it")
        try:
            wire = schema.field(at).type
            arrays.append(of_texts(values, wire) if pa.types.is_string(values.type) else values.cast(wire))
        except (ValueError, pa.ArrowNotImplementedError):  # ArrowInvalid is a ValueError
            raise _no_seed(name, f"some value is no {schema.field(at).type}") from None
    return pa.RecordBatch.from_arrays(arrays, names=seeds.schema.names)


def conditions_of(table: PlannedTable) -> list[Condition]:
    """What the rules of the table's columns ask of the model."""
    found: list[Condition] = []
    for column in table.columns:
        rule = column.rule
        if not isinstance(rule, Ai) or not rule.conditioned:
            continue
        if rule.weights:
            weights = dict[str | None, float]()
            weights.update(rule.weights.items())
            found.append(Weighted(column=column.name, weights=weights))
        else:
            low, high = -inf if rule.low is None else rule.low, inf if rule.high is None else rule.high
            found.append(Between(column=column.name, low=low, high=high))
    return found


def rules_of(table: PlannedTable, schema: pa.Schema) -> list[Rule]:
    """What the job's ``draw`` holds rows against."""
    assert table.learning is not None
    draw = table.learning.draw
    return [
        *(Ordered(low=low, high=high) for low, high in draw.ordered),
        *(Ordered(low=low, high=high, strict=True) for low, high in draw.below),
        *(_among(group, schema) for group in draw.among),
    ]


def _among(group: Combinations, schema: pa.Schema) -> Among:
    """Values as they are written when they are drawn: 1.5 is 1.50 in a column of two decimals."""
    written = []
    for place, name in enumerate(group.columns):
        texts = pa.array([text_of(row[place]) for row in group.values], pa.string())
        if (at := schema.get_field_index(name)) >= 0:
            try:
                texts = of_texts(texts, schema.field(at).type).cast(pa.string())
            except (ValueError, pa.ArrowNotImplementedError):  # ArrowInvalid is a ValueError
                raise TerminalError(
                    "sample.rule", f"the rule on {', '.join(group.columns)} has a value that is no {schema.field(at).type}",
                    f"Write values of {name} as the column has them.",
                ) from None  # fmt: skip
        written.append(texts.to_pylist())
    return Among(columns=group.columns, combinations=tuple(zip(*written, strict=True)))


def _no_seed(column: str, reason: str) -> TerminalError:
    return TerminalError(
        "sample.seed", f"column {column} cannot be given as a seed: {reason}",
        "Give categories and numbers that the model knows; inspect the model for them.",
    )  # fmt: skip
