"""Insert, Update and Delete messages of one table to columns. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_reader.capture.frames import MESSAGE
from tailrace_reader.capture.relations import Relation
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.capture.transactions import Transactions
from tailrace_reader.capture.tuples import UNCHANGED, Field, Ints, Stream, absent
from tailrace_reader.capture.values import columns_of, texts
from tailrace_shared.changes import DELETE, INSERT, UPDATE, ChangeRows

_KIND = MESSAGE + 5
"""After tag and relation: N, K or O says which tuple comes first."""
NO_ROW = 255
OPERATION = np.full(256, NO_ROW, np.uint8)
OPERATION[list(b"IUD")] = INSERT, UPDATE, DELETE
"""By tag."""


def table_rows(
    stream: Stream, at: Ints, frames: Ints, transactions: Transactions, table: CapturedTable, relation: Relation
) -> ChangeRows:
    """The messages that begin at ``at``, whose numbers in the record are ``frames``, by the description they came under.

    Raises TerminalError (``capture.protocol``, ``source.encoding``).
    """
    name = f"{relation.schema}.{relation.name}"
    op = OPERATION[transactions.tags[frames]]
    live = op != DELETE
    place = at + _KIND
    has_old = stream.bytes[place] != ord("N")
    width = len(relation.columns)
    old_fields: list[Field] = []
    new_at = place + 1
    if has_old.any():
        walked, ends = stream.walk(new_at[has_old], width, name)
        rows = _numbering(has_old)
        old_fields = [field.spread(rows, has_old) for field in walked]
        new_at[has_old] = ends + 1
    new_fields, _ = stream.walk(new_at[live], width, name)
    if not live.all():
        rows = _numbering(live)
        new_fields = [field.spread(rows, live) for field in new_fields]
    if old_fields:
        new_fields = [new.or_else(old) for new, old in zip(new_fields, old_fields, strict=True)]
    new = [_field(new_fields, relation, column, table, len(at)) for column in table.layout.names]
    tx = transactions.of[frames]
    columns = columns_of(stream.bytes, new, table.layout.wires, table.layout.types, table.layout.names)
    return ChangeRows(
        op,
        frames.astype(np.uint32),
        transactions.xid[tx],
        transactions.lsn[tx],
        transactions.time[tx],
        has_old,
        _gone(new),
        _old(stream, old_fields, new, columns, table, relation),
        table.layout.names,
        tuple(columns),
    )


def _field(fields: list[Field], relation: Relation, column: str, table: CapturedTable, rows: int) -> Field:
    """The column's, NULL all over before it has come."""
    place = relation.position(column)
    if place is not None:
        return fields[place]
    if column not in table.grown:
        raise LookupError(column)  # the caller compares descriptions before
    return absent(rows)


def _numbering(mask: npt.NDArray[np.bool_]) -> Ints:
    """Per row its number among those of the mask; 0 elsewhere."""
    return np.where(mask, np.cumsum(mask) - 1, 0)


def _gone(fields: list[Field]) -> npt.NDArray[np.bool_] | None:
    absent = [field.flag == UNCHANGED for field in fields]
    if not any(column.any() for column in absent):
        return None
    return np.stack(absent, axis=1)


def _old(
    stream: Stream,
    fields: list[Field],
    new: list[Field],
    columns: list[pa.Array],
    table: CapturedTable,
    relation: Relation,
) -> dict[int, pa.Array]:
    """Old values by plan position. Nulls all over where no old image came, so that a record's columns do not depend on that.

    A value that does not fit its type makes its column text, there and in ``columns`` alike: who looks whether a row is the one
    that was, compares old with new.
    """
    layout = table.layout
    positions = [layout.names.index(column) for column in table.old_columns(relation)]
    if not fields:
        return {i: pa.nulls(len(columns[i]), columns[i].type) for i in positions}
    old = [_field(fields, relation, layout.names[i], table, len(columns[i])) for i in positions]
    arrays = columns_of(
        stream.bytes,
        old,
        [layout.wires[i] for i in positions],
        [layout.types[i] for i in positions],
        [layout.names[i] for i in positions],
    )
    for at, i in enumerate(positions):
        if arrays[at].type != columns[i].type:
            arrays[at] = texts(stream.bytes, old[at], layout.names[i])
            columns[i] = texts(stream.bytes, new[i], layout.names[i])
    return dict(zip(positions, arrays, strict=True))
