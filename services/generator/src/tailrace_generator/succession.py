"""Successive records in hand at once: the next is worked on while the former is under way, and is sent only after it."""

from __future__ import annotations

import asyncio

from tailrace_shared.errors import TransientError


class Succession:
    """Places of deliveries in the order in which they came, by offset.

    ``enter`` before anything is awaited, again for every attempt at the same delivery; ``turn`` waits until everything before it is
    done; ``leave`` says that it is, or that it never will be: then nothing behind it gets its turn.
    """

    def __init__(self) -> None:
        self._newest: asyncio.Future[bool] | None = None
        self._places: dict[int, tuple[asyncio.Future[bool] | None, asyncio.Future[bool]]] = {}

    def enter(self, offset: int) -> None:
        """Behind what came before; a delivery that is in hand keeps its place."""
        if offset not in self._places:
            mine: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._places[offset] = (self._newest, mine)
            self._newest = mine

    async def turn(self, offset: int) -> None:
        """Wait for it. Raises TransientError (``changes.former``) where what is before it has failed for good."""
        former, _ = self._places[offset]
        if former is None:
            return
        await asyncio.wait({former})
        if not former.result():
            raise TransientError("changes.former", "a change record before this one could not be masked")

    def leave(self, offset: int, *, done: bool = True) -> None:
        """The delivery's work has ended; what is behind it still waits for what is before it. Harmless when repeated."""
        if offset not in self._places:
            return
        former, mine = self._places.pop(offset)
        if former is None or former.done():
            mine.set_result(done and (former is None or former.result()))
        else:
            former.add_done_callback(lambda before: mine.set_result(done and before.result()))
