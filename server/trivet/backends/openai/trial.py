"""Whether an endpoint at which requests failed answers one that no client has a part in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from trivet.backends.openai.settings import EndpointSettings
from trivet.errors import BackendUnavailable, GenerationFailed, TrivetError
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.request import Message
from trivet.types.variant import Sampling

logger = logging.getLogger(__name__)
_TEXT = "Hello"
_SAMPLING = Sampling(max_tokens=1, temperature=0.0)


class Trial:
    """What failed requests may be: an endpoint that is unwell, or requests that it cannot bear, such as a schema that
    its grammar compiler falls over. A client must not be able to take it from the others, so it is asked for one token
    of a fixed prompt, and taken for down only if that fails too. Call everything from one event loop.

    One is under way at a time, and after one that went well the next comes after `health_interval` at the earliest:
    what clients provoke costs little.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        ask: Callable[[BackendRequest], AsyncGenerator[Chunk, None]],
        passed: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        """`failed` is told why requests failed, and that this one did."""
        self._settings = settings
        self._ask = ask
        self._passed, self._failed = passed, failed
        self._not_before = 0.0
        self._running: asyncio.Task[None] | None = None

    def begin(self, why: str) -> None:
        """Try it, unless that is under way or was done just now. `why`: what failed."""
        if self._running is None and asyncio.get_running_loop().time() >= self._not_before:
            self._running = asyncio.create_task(self._run(why), name=f"trial of {self._settings.name}")

    async def close(self) -> None:
        """Break it off, and forget when it was done last."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        self._running, self._not_before = None, 0.0

    async def _run(self, why: str) -> None:
        try:
            problem = await self._problem()
        finally:
            self._running = None
        if problem:
            self._failed(f"{why}, and so did a trial: {problem}")
            return
        self._not_before = asyncio.get_running_loop().time() + self._settings.health_interval
        logger.warning("backend %s: %s; a trial went well, so it is not taken for down", self._settings.name, why)
        self._passed()

    async def _problem(self) -> str:
        """What keeps it from answering. One that says that it is busy, or what it dislikes, does answer."""
        ids = await asyncio.to_thread(self._settings.tokenize, _TEXT)
        request = BackendRequest("trial", ids, _SAMPLING, messages=(Message("user", _TEXT),))
        try:
            async with aclosing(self._ask(request)) as chunks:
                async for _ in chunks:
                    pass
        except (BackendUnavailable, GenerationFailed) as problem:
            return str(problem)
        except TrivetError:
            return ""
        return ""
