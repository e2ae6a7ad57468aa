"""Reading what belongs to an event loop from another thread: while it runs, is busy, is closed."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from trivet.loop_reader import LoopReader


async def test_it_is_read_on_the_loop_from_any_thread() -> None:
    home = threading.get_ident()
    reader = LoopReader(asyncio.get_running_loop(), threading.get_ident, 0)
    assert await asyncio.to_thread(reader.latest) == home
    assert reader.latest() == home, "on the loop itself, at once"


async def test_a_busy_loop_gives_the_last_answer_and_is_not_asked_later() -> None:
    numbers, answers = itertools.count(1), list[int]()
    reader = LoopReader(asyncio.get_running_loop(), lambda: next(numbers), 0)
    assert await asyncio.to_thread(reader.latest) == 1
    thread = threading.Thread(target=lambda: answers.append(reader.latest()))
    thread.start()
    thread.join()  # the loop is held until the reader gives up
    await asyncio.sleep(0)
    assert answers == [1]
    assert reader.latest() == 2


async def test_an_error_is_the_askers() -> None:
    def fails() -> int:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await asyncio.to_thread(LoopReader(asyncio.get_running_loop(), fails, 0).latest)


def test_a_closed_loop_gives_the_last_answer() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert LoopReader(loop, lambda: 1, 0).latest() == 0
