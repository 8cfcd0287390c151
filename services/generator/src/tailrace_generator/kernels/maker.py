"""The seam of generated columns: ordinals in, an array of the column's wire type out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa

from tailrace_generator.kernels.draws import Ordinals
from tailrace_shared.generators import MaskColumn
from tailrace_shared.types import arrow_type


class Maker(ABC):
    """Makes a column of a generated table: called once per batch with the ordinals of its rows, in any order.

    A row's value depends on secret, table, column and its ordinal alone, never on the other ordinals of a call.
    """

    def __init__(self, column: MaskColumn) -> None:
        self.column = column
        self.wire = arrow_type(column.type)

    @abstractmethod
    def __call__(self, ordinals: Ordinals) -> pa.Array:
        """One value per ordinal, in the column's wire type."""


def nulled(values: pa.Array, nulls: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> pa.Array:
    """The values with NULL where ``nulls`` says so."""
    if not nulls.any():
        return values
    return values.take(pa.array(np.arange(len(values)), mask=nulls))


def value_of(text: str, wire: pa.DataType) -> pa.Scalar:
    """A value of a wire type from the text that PostgreSQL reads for it, checked by the plan."""
    if pa.types.is_fixed_size_binary(wire):
        return pa.scalar(UUID(text).bytes, wire)
    if pa.types.is_date(wire):
        return pa.scalar(date.fromisoformat(text), wire)
    if pa.types.is_time(wire):
        return pa.scalar(time.fromisoformat(text), wire)
    if pa.types.is_timestamp(wire):
        at = datetime.fromisoformat(text)
        return pa.scalar(at.replace(tzinfo=at.tzinfo or UTC) if wire.tz else at, wire)
    if pa.types.is_decimal(wire):
        unit = Decimal(1).scaleb(-wire.scale)
        return pa.scalar(Decimal(text).quantize(unit, ROUND_HALF_UP), wire)  # as PostgreSQL rounds
    return pa.scalar(text).cast(wire)
