"""The event loop's lag is measured, and shows what holds it up."""

from __future__ import annotations

import asyncio
import time

from trivet.metering.loop_lag import LoopLag


async def test_what_holds_up_the_loop_shows_and_what_waits_does_not() -> None:
    seen: list[float] = []
    watch = LoopLag(seen.append, interval=0.001)
    watch.start()
    async with asyncio.timeout(60):
        while len(seen) < 20:
            await asyncio.sleep(0.01)
    usual = sorted(seen)[len(seen) // 2]
    seen.clear()
    time.sleep(usual + 0.3)  # noqa: ASYNC251 (what the metric is for)
    async with asyncio.timeout(60):
        while not seen:
            await asyncio.sleep(0.01)
    assert max(seen) >= 0.29
    await watch.close()
    seen.clear()
    await asyncio.sleep(0.01)
    assert seen == []
