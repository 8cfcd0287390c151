"""Kernels of the generators that need no key: duplicate, null, constant."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import pyarrow as pa

from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_shared.generators import Constant, Duplicate, MaskColumn, Null


class DuplicateKernel(Kernel):
    """The array itself."""

    def __init__(self, spec: Duplicate, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)

    def mask(self, values: pa.Array) -> pa.Array:
        return values

    def __call__(self, array: pa.Array) -> pa.Array:
        return array


class NullKernel(Kernel):
    """Nulls only."""

    def __init__(self, spec: Null, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)

    def mask(self, values: pa.Array) -> pa.Array:
        return pa.nulls(len(values), values.type)

    def __call__(self, array: pa.Array) -> pa.Array:
        return self.mask(array)


class ConstantKernel(Kernel):
    """One value wherever there is one."""

    def __init__(self, spec: Constant, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._text = pa.scalar(spec.text, pa.string())
        self._typed = self._value(spec.text)

    def _value(self, text: str) -> pa.Scalar:
        wire = self.wire
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

    def mask(self, values: pa.Array) -> pa.Array:
        value = self._text if pa.types.is_string(values.type) else self._typed
        return pa.repeat(value, len(values))
