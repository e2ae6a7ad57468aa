"""Whoever is cancelled while the state store answers is cancelled, even at the moment of the answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from trivet.stores.state import StateStore


async def test_a_cancellation_is_never_lost_to_an_answer(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path / "state.sqlite")
    cancelled = 0
    for turns in range(8):
        asked = asyncio.create_task(store.now())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, 0.05)  # the answer comes, and the loop has not seen it yet
        await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        if asked.cancel():
            cancelled += 1
            with pytest.raises(asyncio.CancelledError):
                await asked
    store.close()
    assert cancelled >= 2
