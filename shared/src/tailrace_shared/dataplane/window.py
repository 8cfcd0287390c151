"""How many bytes may be in flight at once."""

from __future__ import annotations


class ByteWindow:
    """A budget in bytes for what has been taken and is not finished.

    Invariants: ``used`` is the sum of what was added and not removed; it exceeds ``limit_bytes`` only by the one item that
    was admitted while there was still room, so that an item larger than the whole window passes too, alone.
    """

    __slots__ = ("_limit", "_used")

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise ValueError("a window needs a positive number of bytes")
        self._limit = limit_bytes
        self._used = 0

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def used(self) -> int:
        """Bytes in flight."""
        return self._used

    @property
    def room(self) -> int:
        """Bytes that still fit; 0 when the window is full or overfull."""
        return max(0, self._limit - self._used)

    def admits(self, size: int) -> bool:
        """Whether an item of a known size may be taken now: it fits, or nothing else is in flight."""
        return self._used == 0 or self._used + size <= self._limit

    def add(self, size: int) -> None:
        """Take an item. The caller has asked ``room`` or ``admits`` before."""
        self._used += size

    def remove(self, size: int) -> None:
        """The item is finished. Raises ValueError if more would be removed than was added: a bug in the caller."""
        if size > self._used:
            raise ValueError("more bytes removed from the window than were added")
        self._used -= size
