"""Kernel of all mocks: index arithmetic on tags, no call per value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.pools import mock_forms
from tailrace_generator.kernels.prf import Aes
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tags import Tags
from tailrace_shared.generators import MaskColumn, Mock, UniqueMock, char_limit


class MockKernel(Kernel):
    """A readable value per value of the domain."""

    def __init__(self, spec: Mock, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._tags = Tags(column, secret)
        self._more = Aes(secret.key(column.domain, "mock"))
        self._limit = char_limit(column)
        unique = isinstance(spec, UniqueMock) and spec.unique
        self._forms = mock_forms(spec.generator, spec.locale, self._limit, unique=unique)

    def mask(self, values: pa.Array) -> pa.Array:
        tags = self._tags(values)

        def word(k: int) -> npt.NDArray[np.uint64]:
            """64 bits per value: the tag's own 128, then further ones from it."""
            source = tags if k < 2 else self._more.ecb(tags ^ np.uint64(k))
            return np.ascontiguousarray(source[:, k % 2])

        return self._forms.make(word, len(values), self._limit)
