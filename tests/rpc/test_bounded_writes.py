"""Writes that take too long are ended, each at its own time, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from trivet.errors import SlowReader
from trivet.rpc.call import BoundedWrites

TIMEOUT = 0.4
MESSAGE: Any = object()


class Client:
    """One that reads each message after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def write(self, _: Any) -> None:
        await asyncio.sleep(self.seconds)


async def test_who_reads_is_left_alone_and_who_does_not_is_given_up_in_time() -> None:
    writes, loop = BoundedWrites(TIMEOUT), asyncio.get_running_loop()

    async def reads() -> None:
        for _ in range(20):
            await writes.write(Client(0.0), MESSAGE)  # type: ignore[arg-type]

    async def does_not(after: float) -> float:
        await asyncio.sleep(after)
        began = loop.time()
        with pytest.raises(SlowReader, match=r"did not read its stream for 0\.4 s"):
            await writes.write(Client(60), MESSAGE)  # type: ignore[arg-type]
        return loop.time() - began

    _, *took = await asyncio.gather(reads(), does_not(0.0), does_not(TIMEOUT / 2))
    assert all(TIMEOUT * 0.95 <= one < TIMEOUT * 20 for one in took)
    await writes.write(Client(0.0), MESSAGE)  # type: ignore[arg-type]
    assert not writes._under_way


async def test_who_is_cancelled_is_cancelled() -> None:
    writes = BoundedWrites(TIMEOUT)
    writing = asyncio.create_task(writes.write(Client(60), MESSAGE))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    both = asyncio.create_task(writes.write(Client(60), MESSAGE))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(TIMEOUT, both.cancel)  # in the turn in which it is late
    with pytest.raises((asyncio.CancelledError, SlowReader)):
        await both
    assert not writes._under_way


async def test_a_time_out_around_it_keeps_its_own_error() -> None:
    writes = BoundedWrites(10 * TIMEOUT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(TIMEOUT):
            await writes.write(Client(60), MESSAGE)  # type: ignore[arg-type]
