"""Kernels of the generators that need no key: duplicate, null, constant."""

from __future__ import annotations

import pyarrow as pa

from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.maker import value_of
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
        self._typed = value_of(spec.text, self.wire)

    def mask(self, values: pa.Array) -> pa.Array:
        value = self._text if pa.types.is_string(values.type) else self._typed
        return pa.repeat(value, len(values))
