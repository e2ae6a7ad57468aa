"""Supervision of one engine: started, made ready, watched, and started again when it dies.

One recipe for the first start and for every other: start the engine, then prepare what it is to serve. A first start
that fails is the caller's to tell; later ones are tried again, ever more slowly, until one succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trivet.errors import BackendUnavailable, TrivetError

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """What can be supervised."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    async def start(self) -> None:
        """Start it, also after it died; BackendUnavailable if it does not come up. Cancelling it leaves nothing."""
        ...

    async def death(self) -> str:
        """Wait until it dies; returns the reason."""
        ...


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """Seconds. The wait before a restart doubles from `first_delay` to `max_delay`, less a random part of up to half
    of it, so that many gateways do not come back in step; it begins anew after a life of `settled_after`. A start that
    takes longer than `start_timeout` is given up."""

    first_delay: float = 0.5
    max_delay: float = 30.0
    settled_after: float = 60.0
    start_timeout: float = 900.0


@dataclass(slots=True)
class Backoff:
    """The waits between attempts."""

    settings: RestartSettings
    attempts: int = 0
    draw: Callable[[], float] = field(default=random.random)

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        # Beyond 2**30 the power alone is longer than any limit, and without a bound it would overflow some day.
        whole = min(self.settings.max_delay, self.settings.first_delay * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        return whole * (1 - self.draw() / 2)

    def reset(self) -> None:
        """It went well: begin anew."""
        self.attempts = 0


class Supervisor:
    """Call `start` once, then `run`; cancelling either leaves no start under way.

    `turn` is shared by all engines: they start one after another, since a start reads and sets what belongs to the
    whole process and machine (environment, free memory). `prepare` makes ready what the engine serves and returns what
    could not be, in words; it is called again while there is any. `on_change` is told when what is ready may have
    changed; `on_restart` before each start but the first.
    """

    def __init__(
        self,
        engine: Engine,
        settings: RestartSettings,
        *,
        turn: asyncio.Lock,
        prepare: Callable[[], Awaitable[Sequence[str]]],
        on_change: Callable[[], None],
        on_restart: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._turn = turn
        self._prepare = prepare
        self._on_change = on_change
        self._on_restart = on_restart
        self._sleep = sleep
        self._draw = draw
        self._problems: Sequence[str] = ()

    async def start(self) -> Sequence[str]:
        """The first start: the engine, and one round of preparing, whose problems are returned.

        Raises BackendUnavailable if the engine does not come up, or dies before the round ends.
        """
        await self._start_engine()
        await self._while_it_lives(self._round())
        return self._problems

    async def run(self) -> None:
        """Keep it serving, for ever."""
        backoff = Backoff(self._settings, draw=self._draw)
        clock = asyncio.get_running_loop().time
        while True:
            born = clock()
            reason = await self._live()
            self._on_change()
            if clock() - born >= self._settings.settled_after:
                backoff.reset()
            logger.error("engine %s died: %s", self._engine.name, reason)
            await self._restart(backoff)

    async def _restart(self, backoff: Backoff) -> None:
        """Start the engine, however many attempts it takes, and prepare what it serves."""
        while True:
            delay = backoff.next_delay()
            logger.warning("engine %s is started again in %.1f s", self._engine.name, delay)
            await self._sleep(delay)
            self._on_restart()
            try:
                await self._start_engine()
                await self._while_it_lives(self._round())
            except Exception as problem:  # a bug in a start must not leave the engine down for ever
                known = isinstance(problem, TrivetError)
                logger.error("engine %s did not come back: %s", self._engine.name, problem, exc_info=not known)
                self._on_change()
                continue
            logger.warning("engine %s is back%s", self._engine.name, ", not all of it" if self._problems else "")
            return

    async def _start_engine(self) -> None:
        self._problems = ()
        async with self._turn:
            try:
                async with asyncio.timeout(self._settings.start_timeout):
                    await self._engine.start()
            except TimeoutError as error:
                limit = self._settings.start_timeout
                raise BackendUnavailable(f"the engine {self._engine.name} was not up within {limit:g} s") from error

    async def _live(self) -> str:
        """Prepare what is not ready yet, now and then, until the engine dies; returns the reason."""
        caring = asyncio.create_task(self._care())
        try:
            return await self._engine.death()
        finally:
            await _end(caring)

    async def _care(self) -> None:
        backoff = Backoff(self._settings, draw=self._draw)
        while self._problems:
            await self._sleep(backoff.next_delay())
            await self._round()

    async def _round(self) -> None:
        before = self._problems
        try:
            self._problems = await self._prepare()
        except TrivetError as problem:
            self._problems = [str(problem)]
        except Exception:
            # A bug must not end the supervision of an engine that serves others well.
            logger.exception("preparing what engine %s serves failed", self._engine.name)
            self._problems = ["an unexpected error, see the log"]
        if self._problems != before:
            for line in self._problems:
                logger.error("engine %s: %s", self._engine.name, line)
        self._on_change()

    async def _while_it_lives(self, work: Awaitable[None]) -> None:
        """Await `work`; BackendUnavailable as soon as the engine dies: nobody else may notice."""
        working, dying = asyncio.ensure_future(work), asyncio.ensure_future(self._engine.death())
        try:
            await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
            if dying.done():
                raise BackendUnavailable(f"the engine {self._engine.name} died: {dying.result()}")
            await working
        finally:
            await _end(working)
            await _end(dying)


async def _end(task: asyncio.Future[None] | asyncio.Future[str]) -> None:
    """Cancel it and wait for its end."""
    task.cancel()
    await asyncio.wait({task})
