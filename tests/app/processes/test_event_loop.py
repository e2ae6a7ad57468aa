"""The loop that servers run on tells the time as a clock does."""

from __future__ import annotations

import asyncio
import time

from trivet.app.event_loop import EventLoop, run_on_loop


def test_time_goes_on_within_a_turn_of_the_loop_and_timers_agree_with_it() -> None:
    found: list[float] = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        began = loop.time()
        time.sleep(0.0003)  # noqa: ASYNC251
        found.append(loop.time() - began)
        fired = loop.create_future()
        loop.call_at(began + 0.03, fired.set_result, None)
        await fired
        found.append(loop.time() - began)

    run_on_loop(look())
    assert 0.0003 <= found[0] < 0.02, "uvloop's own time stands still within a turn, and has whole milliseconds"
    assert 0.029 <= found[1] < 1.0
