"""From a configuration to a process that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal

from trivet.app.gateway import Gateway
from trivet.app.progress import Progress
from trivet.config import Config


def run_server(config: Config, progress: Progress) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends it at once. Raises what kept it from starting."""
    asyncio.run(_serve(config, progress))


async def _serve(config: Config, progress: Progress) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    gateway = Gateway(config, progress)
    starting = asyncio.create_task(gateway.start())
    stopping = asyncio.create_task(stop.wait())
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
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await gateway.stop()
