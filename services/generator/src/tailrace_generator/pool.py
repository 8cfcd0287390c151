"""A pool: masked keys of a carried table, of which made rows draw theirs."""

from __future__ import annotations

import pyarrow as pa

from tailrace_generator.kernels.draws import Ordinals
from tailrace_shared.dataplane import ipc
from tailrace_shared.errors import TerminalError


class Pool:
    """Masked keys of a carried table, as they were published."""

    def __init__(self, digest: str, body: bytes) -> None:
        self.digest = digest
        self._keys = ipc.decode(body)

    @property
    def rows(self) -> int:
        """Keys that it holds."""
        return int(self._keys.num_rows)

    def require(self, rows: int) -> None:
        """Raise TerminalError where it holds another number of keys than was planned."""
        if self._keys.num_rows != rows:
            raise TerminalError(
                "generator.pool-differs", f"the pool {self.digest[:12]} has {self._keys.num_rows:,} keys, planned are {rows:,}",
                "Run the job again; if it comes again, report this.",
            )  # fmt: skip

    def keys(self, column: str) -> PooledKeys:
        """What takes a column's values by their place."""
        return PooledKeys(self._keys.column(column))


class PooledKeys:
    """A column of a pool, called as a parent's maker is: ordinals are places in the pool."""

    def __init__(self, keys: pa.Array) -> None:
        self._keys = keys

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        return self._keys.take(pa.array(ordinals))
