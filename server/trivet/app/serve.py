"""From a configuration to a process that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from trivet.app.event_loop import run_on_loop
from trivet.app.gateway import Gateway, Siblings
from trivet.app.node import EngineNode
from trivet.app.processes import Commands, FrontEnd, ProcessesServer, front_end_config
from trivet.app.progress import Progress
from trivet.config import Config, needs_restart
from trivet.config.engine_node import EngineNodeConfig
from trivet.errors import ConfigError

# Seconds for which a thread may keep the interpreter's lock from others that want it (Python's default is 5 ms): the
# event loop asks for it after each wait, and a thread may be reading somebody's large document or schema.
SWITCH_INTERVAL = 0.0005


class Serving(Protocol):
    """A process that serves."""

    async def start(self) -> None:
        """Return when it serves."""
        ...

    async def reload(self) -> object:
        """Read its configuration again."""
        ...

    async def stop(self) -> None:
        """Finish what is in flight, and stop; also after a start that failed."""
        ...


def run_server(read: Callable[[], Config], progress: Progress, commands: Commands) -> None:
    """Serve what `read` gives until SIGTERM or SIGINT; a second signal ends it at once. Raises what kept it from
    starting, ConfigError first of all. SIGHUP reads it again, for the routes. `commands` starts the processes of a
    server that has several."""

    def make() -> Serving:
        config = read()
        if config.file.server.processes > 1:
            return ProcessesServer(config, progress, commands)
        return Gateway(config, progress, read)

    run_on_loop(_serve(make, progress))


def run_front_end(read: Callable[[], Config], front_end: FrontEnd, progress: Progress) -> None:
    """Serve as one of several processes, with what `read` gives for all of them. The parent is told when an operator
    had this one reload, so that the others do."""
    first = read()

    def again() -> Config:
        config = read()
        if problems := needs_restart(first, config):
            raise ConfigError(problems)
        return front_end_config(config, front_end)

    siblings = Siblings(front_end.receipts_beside, partial(os.kill, os.getppid(), signal.SIGHUP))
    run_on_loop(_serve(lambda: Gateway(front_end_config(first, front_end), progress, again, siblings), progress))


def run_engine_node(read: Callable[[], EngineNodeConfig], progress: Progress) -> None:
    """The same for an engine node, which has nothing to read again."""
    run_on_loop(_serve(lambda: EngineNode(read(), progress), progress))


def settle() -> None:
    """Call it once all is ready: vLLM's imports leave some 700,000 objects behind that will never be garbage, and a
    full collection that walks them stops every stream for hundreds of milliseconds."""
    gc.collect()
    gc.freeze()


async def _serve(make: Callable[[], Serving], progress: Progress) -> None:
    served = make()
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
    starting = asyncio.create_task(served.start())
    stopping = asyncio.create_task(stop.wait())
    reloading = asyncio.create_task(_reload(served, hang_up, starting))
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises what kept it from starting
            settle()
            await stopping
            progress.note("stopping: what is in flight is finished first")
    finally:
        starting.cancel()
        stopping.cancel()
        reloading.cancel()
        await asyncio.gather(starting, stopping, reloading, return_exceptions=True)
        await served.stop()


async def _reload(served: Serving, hang_up: asyncio.Event, starting: asyncio.Future[None]) -> None:
    """Reload at each SIGHUP; one that comes during a start or a reload is served after it. The log has the outcome."""
    await asyncio.wait({starting})
    while True:
        await hang_up.wait()
        hang_up.clear()
        with suppress(Exception):
            await served.reload()
