"""Kernels of the generators that need no key: duplicate, null, constant."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

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
        if pa.types.is_fixed_size_binary(self.wire):
            return pa.scalar(UUID(text).bytes, self.wire)
        if pa.types.is_timestamp(self.wire) and self.wire.tz:
            return pc.cast(pa.scalar(text).cast(pa.timestamp("us")) if _naive(text) else pa.scalar(text), self.wire)
        return pa.scalar(text).cast(self.wire)

    def mask(self, values: pa.Array) -> pa.Array:
        value = self._text if pa.types.is_string(values.type) else self._typed
        return pa.repeat(value, len(values))


def _naive(text: str) -> bool:
    """A timestamp without a zone; it is taken as UTC."""
    return not (text.endswith("Z") or "+" in text[10:] or "-" in text[10:])
