"""Starts the vector process, watches it and starts it again when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.errors import DataFolderInUse, FailedPrecondition, RetrievalUnavailable
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.vector_child import VectorChild

_log = logging.getLogger(__name__)

_BACKOFF_FIRST = 0.1
_BACKOFF_MOST = 5.0
_HEALTHY_AFTER = 10.0  # seconds of service after which a death is a new one, not part of a series
_FIRST_STARTS = 3  # one more than the process takes to find out which collection it is
_MOVE_TIMEOUT = 120.0  # a large collection takes a while to open


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What the engine knows of a collection.

    `points`: how many there are. `unoptimised`: points written, and other operations, since it was optimised; a crash
    may have lost the last thousand of them from the count. `unflushed`: operations that the next start would replay.
    """

    points: int
    unoptimised: int
    unflushed: int


class VectorProcess:
    """The child process that owns `folder`; its log goes to `log_file`. Use from one event loop.

    It ends with this process, however that ends. One serves; another one, on a folder of its own and with a low
    priority, may make collections for it: `optimize` there, then `attach` here.
    """

    def __init__(
        self,
        folder: Path,
        log_file: Path,
        *,
        niceness: int = 0,
        start_timeout: float = 60.0,
        stop_timeout: float = 20.0,
        check_every: float = 5.0,
        check_timeout: float = 30.0,
        look: bool = False,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_restart` is told of each start after a death.

        To `look` only, collections that cannot be opened are left where they are; otherwise they are set aside.

        Seconds: `start_timeout` to replay the log and serve; `stop_timeout` to flush, then it is killed.

        It is asked for a sign of life after `check_every`; without one within `check_timeout` it is killed and started
        again. That must be longer than its longest pause, which is a flush (a second or so; 13 have been seen).
        """
        self._folder = folder
        self._log_file = log_file
        self._niceness = niceness
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._check_every = check_every
        self._check_timeout = check_timeout
        self._look = look
        self._on_restart = on_restart
        self._child: VectorChild | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._restarts = 0

    @property
    def endpoint(self) -> QdrantEndpoint | None:
        """Where it serves, and with which key, while it does. Another port and another key after each restart."""
        if self._child is None:
            return None
        host, _, port = self._child.address.rpartition(":")
        return QdrantEndpoint(f"http://{host}", int(port), self._child.key, self._restarts)

    @property
    def up(self) -> bool:
        """It serves."""
        return self._child is not None

    @property
    def restarts(self) -> int:
        """How often it was started again after a death."""
        return self._restarts

    @property
    def pid(self) -> int | None:
        """Process id of the child that serves."""
        return self._child.pid if self._child is not None else None

    def collection(self, name: str) -> Path:
        """The folder of a collection, whether it is there or not: for `attach` elsewhere."""
        return self._folder / "collections" / name

    async def start(self) -> None:
        """Return when it serves.

        Raises DataFolderInUse if another process owns the folder, RetrievalUnavailable if it does not come up.
        """
        self._child = await self._first()
        self._watcher = asyncio.create_task(self._watch(self._child), name="vector-process")

    async def stop(self) -> None:
        """Let it flush and end it. No error if it was not started."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        child, self._child = self._child, None
        if child is not None:
            await child.end(self._stop_timeout)

    async def info(self) -> dict[str, CollectionInfo]:
        """Every collection by name. Raises RetrievalUnavailable."""
        found = await self._command("info", self._check_timeout)
        return {name: CollectionInfo(**one) for name, one in found.items()}

    async def problems(self) -> dict[str, str]:
        """Collections that could not be opened, and why. Raises RetrievalUnavailable."""
        found = await self._command("problems", self._check_timeout)
        return {str(name): str(why) for name, why in found.items()}

    async def set_aside(self, name: str) -> None:
        """Close a collection that cannot be read and keep its files elsewhere; it is gone then.

        Nothing if there is none. Raises RetrievalUnavailable.
        """
        await self._command("set_aside", _MOVE_TIMEOUT, name=name)

    async def attach(self, name: str, folder: Path) -> None:
        """Take over a finished collection without a restart: `folder` (absolute, same file system) is moved and served.

        Whatever dies meanwhile, it is either still in `folder` or served after the restart; the same call again makes
        sure. Raises RetrievalUnavailable when the engine is down, NotFound if there is no such folder,
        FailedPrecondition if the name is taken, another vector process has it open, or it cannot be moved or opened.
        """
        await self._command("attach", _MOVE_TIMEOUT, name=name, folder=str(folder))

    async def detach(self, name: str, folder: Path) -> None:
        """The reverse: close one and move it to `folder`, which must not exist. Safe, and raises, as `attach`."""
        await self._command("detach", _MOVE_TIMEOUT, name=name, folder=str(folder))

    async def optimize(self, name: str) -> bool:
        """Optimise a collection of this folder, in a process of its own; False if there was nothing to do.

        Takes minutes at 100,000 points. The folder must not be served meanwhile: FailedPrecondition if it is. Killed or
        cancelled, the collection is as it was. Raises RetrievalUnavailable if it fails.
        """
        if self._watcher is not None:
            raise FailedPrecondition("a folder that is served cannot be optimised: stop the process first")
        done = await VectorChild.optimise(self._folder, name, self._log_file, self._niceness)
        _log.info("collection %s optimised: %s points in %s s", name, done["points"], done["seconds"])
        return bool(done["changed"])

    async def _command(self, do: str, timeout: float, **arguments: str) -> Any:
        if self._child is None:
            raise RetrievalUnavailable("the vector process is down")
        return await self._child.command(do, timeout, **arguments)

    async def _first(self) -> VectorChild:
        """The first start, again if it failed: a collection that ends the process is set aside by a later one."""
        for left in range(_FIRST_STARTS - 1, -1, -1):
            try:
                return await self._spawn()
            except RetrievalUnavailable as error:
                if self._look or not left:
                    raise
                _log.error("the vector process did not start and is started again: %s", error)
        raise AssertionError("the loop returns or raises")

    async def _spawn(self) -> VectorChild:
        child = await VectorChild.spawn(
            self._folder, self._log_file, self._niceness, self._start_timeout, look=self._look
        )
        _log.info("the vector process %s serves on %s", child.pid, child.address)
        return child

    async def _watch(self, child: VectorChild) -> None:
        backoff = _BACKOFF_FIRST
        while True:
            started = time.monotonic()
            code = await self._death(child)
            self._child = None
            _log.error("the vector process ended with code %s; starting it again", code)
            if time.monotonic() - started > _HEALTHY_AFTER:
                backoff = _BACKOFF_FIRST
            while self._child is None:
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _BACKOFF_MOST)
                try:
                    self._child = child = await self._spawn()
                except (RetrievalUnavailable, DataFolderInUse, OSError, ValueError, KeyError) as error:
                    # Of the system (no process, no file, no memory is left) or of what it said: both pass.
                    _log.error("the vector process did not start: %r", error)
            self._restarts += 1
            self._on_restart()

    async def _death(self, child: VectorChild) -> int:
        """Its exit code, once it has died; kills it when it shows no sign of life."""
        dead = asyncio.create_task(child.wait())
        try:
            while not (await asyncio.wait({dead}, timeout=self._check_every))[0]:
                try:
                    await child.command("ping", self._check_timeout)
                except RetrievalUnavailable as error:
                    if not dead.done():
                        _log.error("the vector process hangs and is killed: %s", error)
                        self._child = None
                        await child.kill()
            return dead.result()
        finally:
            dead.cancel()
