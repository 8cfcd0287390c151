"""Columns of generated tables by the generators that carried tables know, too: dense keys, mocks, hashes, constants, NULL."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tailrace_generator.kernels.arrays import binary16
from tailrace_generator.kernels.draws import Ordinals, Permutation
from tailrace_generator.kernels.made import numbers, spelled
from tailrace_generator.kernels.maker import Maker, value_of
from tailrace_generator.kernels.masks import HashKernel
from tailrace_generator.kernels.mocks import MockKernel
from tailrace_generator.kernels.permute import UuidPermutation
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.slots import BASE32
from tailrace_shared.generators import (
    Constant,
    Key,
    MaskColumn,
    MaskHash,
    Mock,
    Null,
    text_key_chars,
)
from tailrace_shared.plan.model import Slot

UUID_VERSION = np.uint64(0x4000)
UUID_VARIANT = np.uint64(1 << 63)


class KeyMaker(Maker):
    """Dense keys: 1 … N; uuids of version 4 and texts in base 32 by a permutation, so that rows differ by construction."""

    def __init__(self, spec: Key, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)
        family = column.type.family
        self._uuids = UuidPermutation(secret, column.domain) if family == "uuid" else None
        self._texts = Permutation(secret, column.domain, 32 ** text_key_chars(column)) if family == "text" else None
        digits = np.frombuffer(BASE32.encode(), np.uint8).astype(np.uint32)
        self._tables = [digits] * text_key_chars(column) if family == "text" else []

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        if self._uuids is not None:
            words = np.empty((len(ordinals), 2), np.uint64)
            words[:, 0] = np.full(len(ordinals), UUID_VERSION).byteswap()
            words[:, 1] = (ordinals.view(np.uint64) | UUID_VARIANT).byteswap()
            return binary16(self._uuids.permute(words))
        if self._texts is not None:
            return spelled(self._texts(ordinals), self._tables)
        return numbers(ordinals + 1, 0, self.wire)


class FromTextMaker(Maker):
    """Mocks and hashes: of the ordinal as text, under the column's own domain."""

    def __init__(self, spec: Mock | MaskHash, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)
        kernel = MockKernel if isinstance(spec, Mock) else HashKernel
        self._kernel = kernel(spec, column, secret)  # type: ignore[arg-type]

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        return self._kernel(pa.array(ordinals).cast(pa.string()))


class ConstantMaker(Maker):
    def __init__(self, spec: Constant, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)
        self._value = value_of(spec.text, self.wire)

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        return pa.repeat(self._value, len(ordinals))


class NullMaker(Maker):
    def __init__(self, spec: Null, column: MaskColumn, secret: MaskSecret, slot: Slot | None) -> None:
        super().__init__(column)

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        return pa.nulls(len(ordinals), self.wire)
