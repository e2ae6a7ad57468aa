"""Starting an engine of one's own, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from trivet.backends.background import in_background
from trivet.backends.engine.engine_metrics import EngineMetrics
from trivet.backends.engine.vllm_engine import VllmEngine
from trivet.backends.launch.engine_sockets import EngineSockets
from trivet.backends.launch.host import EngineHost
from trivet.backends.launch.launch import Launch
from trivet.backends.outputs.reader import outputs_of
from trivet.backends.vllm_settings import EmbeddedSettings


class EngineStart:
    """Implements `engine_life.Start`: an engine in a child of this process. Call everything from one event loop."""

    def __init__(
        self,
        settings: EmbeddedSettings,
        metrics: EngineMetrics,
        stepped: Callable[[int], None],
        host: EngineHost | None = None,
    ) -> None:
        """`metrics` takes over what each engine registers. `stepped` is told of each step's prompt tokens, with
        `settings.count_steps`. `host` starts the engine on a CPU, unless it has ended."""
        self.host = host
        self._settings = settings
        self._metrics = metrics
        self._stepped = stepped
        self._sockets = EngineSockets(settings.cache_folder, settings.name)
        self._abandoned: asyncio.Future[None] | None = None

    async def run(self, loading: Callable[[], None]) -> VllmEngine:
        """See `engine_life.Start.run`. Cancelling it kills what it had started."""
        loop = asyncio.get_running_loop()
        if self._abandoned is not None:  # two starts at a time would both want the memory
            await asyncio.wait({self._abandoned})

        def told() -> None:
            loop.call_soon_threadsafe(loading)

        start = Launch(self._settings, self._sockets, told, self.host)
        running = in_background(start.run, "vllm-start")
        try:
            llm = await asyncio.shield(running)
        except asyncio.CancelledError:
            start.abandon()
            self._abandoned = asyncio.ensure_future(self._given_up(running))
            raise
        try:
            outputs = outputs_of(llm, self._stepped if self._settings.count_steps else None)
            engine = VllmEngine(llm, outputs, self._settings.hang_timeout, self._settings.trials.owner_bytes)
        except BaseException:
            await _shut_down(llm)
            raise
        self._metrics.adopt(outputs.tell)
        return engine

    async def _given_up(self, running: asyncio.Future[Any]) -> None:
        """Until nothing is left of a start that nobody waits for any more, however far it comes."""
        await asyncio.wait({running})
        if running.exception() is None:
            await _shut_down(running.result())
        self._sockets.remove()

    def clear_away(self) -> None:
        """See `engine_life.Start.clear_away`: its sockets and temporary files."""
        if self._abandoned is None or self._abandoned.done():
            self._sockets.remove()


async def _shut_down(llm: Any) -> None:
    await in_background(partial(llm.shutdown, timeout=0), "vllm-shutdown")
