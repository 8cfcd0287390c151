"""Records in hand at once keep their order, whatever becomes of one of them."""

from __future__ import annotations

import asyncio

import pytest

from tailrace_generator.succession import Succession
from tailrace_shared.errors import TransientError


async def turned(succession: Succession, offset: int) -> bool:
    """Whether it is the delivery's turn now."""
    waiting = asyncio.ensure_future(succession.turn(offset))
    for _ in range(10):
        await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return done


async def test_a_delivery_has_its_turn_when_the_one_before_it_is_done() -> None:
    succession = Succession()
    for offset in (7, 8):
        succession.enter(offset)
    assert await turned(succession, 7)
    assert not await turned(succession, 8)
    succession.leave(7)
    assert await turned(succession, 8)


async def test_another_attempt_keeps_its_place() -> None:
    succession = Succession()
    for offset in (7, 8, 7):
        succession.enter(offset)
    assert await turned(succession, 7)
    assert not await turned(succession, 8)


async def test_one_that_has_nothing_to_do_lets_nobody_pass_what_is_before_it() -> None:
    succession = Succession()
    for offset in (7, 8, 9):
        succession.enter(offset)
    succession.leave(8)
    assert not await turned(succession, 9)
    succession.leave(7)
    assert await turned(succession, 9)


async def test_behind_one_that_failed_for_good_nothing_is_sent() -> None:
    succession = Succession()
    for offset in (7, 8, 9):
        succession.enter(offset)
    succession.leave(7, done=False)
    for offset in (8, 9):
        with pytest.raises(TransientError):
            await succession.turn(offset)
        succession.leave(offset)


async def test_a_delivery_that_comes_again_stands_behind_what_came_since() -> None:
    succession = Succession()
    for offset in (7, 8):
        succession.enter(offset)
    succession.leave(7)
    succession.enter(7)
    assert not await turned(succession, 7)
    succession.leave(8)
    assert await turned(succession, 7)
