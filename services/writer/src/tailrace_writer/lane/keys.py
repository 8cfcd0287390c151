"""Numbers for keys: equal rows of key columns get equal numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_ROOM = 1 << 62


def codes_of(keys: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """A number per row, the same for equal rows and only for these, dense from 0. NULL equals NULL."""
    codes = np.zeros(keys.num_rows, dtype=np.int64)
    size = 1
    for column in keys.columns:
        encoded = pc.dictionary_encode(column, null_encoding="encode")
        each = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        distinct = len(encoded.dictionary)
        if size * max(distinct, 1) >= _ROOM:
            codes, size = _dense(codes)
        codes = codes * max(distinct, 1) + each
        size *= max(distinct, 1)
    return codes if keys.num_columns == 1 else _dense(codes)[0]


def _dense(codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    values, inverse = np.unique(codes, return_inverse=True)
    return inverse.astype(np.int64), max(len(values), 1)
