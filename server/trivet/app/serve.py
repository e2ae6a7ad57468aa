"""From a configuration to a process that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from trivet.app.gateway import Gateway
from trivet.app.progress import Progress
from trivet.config import Config

# Seconds for which a thread may keep the interpreter's lock from others that want it (Python's default is 5 ms): the
# event loop asks for it after each wait, and a thread may be reading somebody's large document or schema.
SWITCH_INTERVAL = 0.0005


def run_server(read: Callable[[], Config], progress: Progress) -> None:
    """Serve what `read` gives until SIGTERM or SIGINT; a second signal ends it at once. Raises what kept it from
    starting, ConfigError first of all. SIGHUP reads it again, for the routes."""
    asyncio.run(_serve(read, progress))


async def _serve(read: Callable[[], Config], progress: Progress) -> None:
    config = read()
    sys.setswitchinterval(SWITCH_INTERVAL)
    stop, hang_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    gateway = Gateway(config, progress, read)
    starting = asyncio.create_task(gateway.start())
    stopping = asyncio.create_task(stop.wait())
    reloading = asyncio.create_task(_reload(gateway, hang_up, starting))
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises what kept it from starting
            # vLLM's imports leave some 700,000 objects behind that will never be garbage: a full collection that
            # walks them stops every stream for hundreds of milliseconds.
            gc.collect()
            gc.freeze()
            await stopping
            progress.note("stopping: what is in flight is finished first")
    finally:
        starting.cancel()
        stopping.cancel()
        reloading.cancel()
        await asyncio.gather(starting, stopping, reloading, return_exceptions=True)
        await gateway.stop()


async def _reload(gateway: Gateway, hang_up: asyncio.Event, starting: asyncio.Future[None]) -> None:
    """Reload at each SIGHUP; one that comes during a start or a reload is served after it. The log has the outcome."""
    await asyncio.wait({starting})
    while True:
        await hang_up.wait()
        hang_up.clear()
        with suppress(Exception):
            await gateway.reload()
