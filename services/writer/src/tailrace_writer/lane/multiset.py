"""Folding changes of a table without a key: rows are their values, and equal rows are counted. Pure.

Every old image is whole there (REPLICA IDENTITY FULL), so an update is a departure of the old row and an arrival of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tailrace_writer.lane.fold import DELETE, INSERT, Changes
from tailrace_writer.lane.keys import codes_of


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of which rows go, and which rows come."""

    leaves: pa.RecordBatch
    """Distinct rows that go…"""
    copies: pa.Array
    """…and of each how many (int64)."""
    arrives: pa.RecordBatch
    """Rows that come, each as often as it comes."""


def fold_rows(changes: Changes) -> Counted:
    """The difference that the changes make. ``changes.old`` has all columns of the table."""
    arriving, leaving = changes.op != DELETE, changes.op != INSERT
    names = changes.rows.schema.names
    stacked = pa.RecordBatch.from_arrays(
        [
            pa.concat_arrays([changes.rows.column(n).filter(pa.array(arriving)), changes.old.column(n).filter(pa.array(leaving))])
            for n in names
        ],
        schema=changes.rows.schema,
    )  # fmt: skip
    codes = codes_of(stacked)
    weight = np.concatenate([np.ones(int(arriving.sum()), np.int64), -np.ones(int(leaving.sum()), np.int64)])
    distinct = int(codes.max()) + 1 if len(codes) else 0
    net = np.bincount(codes, weights=weight, minlength=distinct).astype(np.int64)
    example = np.zeros(distinct, dtype=np.int64)
    example[codes] = np.arange(len(codes))
    gone, come = net < 0, net > 0
    return Counted(
        leaves=stacked.take(pa.array(example[gone])),
        copies=pa.array(-net[gone]),
        arrives=stacked.take(pa.array(np.repeat(example[come], net[come]))),
    )
