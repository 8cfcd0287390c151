"""Advisory lock keys: 64 bits derived from a run's ULID and what the lock is for, so that they never meet by accident."""

from __future__ import annotations

import hashlib
from typing import Literal

Purpose = Literal["leader", "fence", "rebuild", "schema", "lane"]


def lock_key(purpose: Purpose, run: str = "", number: int = 0) -> int:
    """The signed 64-bit key of a lock. The leader's lock and the fence of one run are different locks: a leader holds the
    first for its whole time, and takes the second only for the moment of a move."""
    digest = hashlib.blake2b(f"tailrace/{purpose}/{run}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
