"""The seam of every generator: an array in, an array of the same type and length out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import pyarrow as pa

from tailrace_generator.kernels.arrays import spread
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import MaskColumn
from tailrace_shared.types import arrow_type


class Kernel(ABC):
    """Called by the generator once per batch and column, always with whole arrays.

    The input is in the column's wire type, or text where a value of the batch did not fit it; the output has the input's
    type and both agree. NULL stays NULL, and what lies under a null is never read. An instance is not thread-safe.
    Raises TerminalError when a value cannot be masked; it never passes or nulls one.
    """

    def __init__(self, column: MaskColumn) -> None:
        self.column = column
        self.wire = arrow_type(column.type)

    def __call__(self, array: pa.Array) -> pa.Array:
        if array.type != self.wire and not pa.types.is_string(array.type):
            raise TerminalError(
                "generator.wire-type",
                f"a column of type {self.column.type.name} arrived as {array.type}, not as {self.wire} or text",
                "run reader and generator of the same version",
            )
        nulls = array.null_count
        if nulls == len(array):
            return array
        try:
            return self.mask(array) if not nulls else spread(self.mask(array.drop_null()), array)
        except pa.ArrowInvalid:  # its message holds the value
            raise self.unmaskable("it is not one that PostgreSQL writes for this type") from None

    @property
    def typed(self) -> bool:
        """The wire type is not text, so that two representations exist."""
        return not pa.types.is_string(self.wire)

    @abstractmethod
    def mask(self, values: pa.Array) -> pa.Array:
        """The outputs of at least one value, none of them null, in the type of ``values``."""

    def unmaskable(self, reason: str) -> TerminalError:
        """The error for a value that has no output; it names the type, never the value."""
        return TerminalError(
            "generator.unmaskable",
            f"a value of type {self.column.type.name} cannot be masked: {reason}",
            "choose another generator for this column",
        )


def text(values: pa.Array) -> pa.StringArray:
    """Narrows for the type checker."""
    return cast(pa.StringArray, values)
