"""Starts the vector process, watches it and starts it again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from trivet.errors import DataFolderInUse, RetrievalUnavailable

_log = logging.getLogger(__name__)

_BACKOFF_FIRST = 0.1
_BACKOFF_MOST = 5.0
_HEALTHY_AFTER = 10.0  # seconds of service after which a death is a new one, not part of a series


class VectorProcess:
    """The child process that owns `folder`; its log goes to `log_file`. Use from one event loop.

    It ends with this process, however that ends.
    """

    def __init__(
        self, folder: Path, log_file: Path, *, start_timeout: float = 60.0, stop_timeout: float = 20.0
    ) -> None:
        """`start_timeout`: seconds to replay the log and serve; `stop_timeout`: seconds to flush, then it is killed."""
        self._folder = folder
        self._log_file = log_file
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._process: Process | None = None
        self._address: str | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._restarts = 0

    @property
    def address(self) -> str | None:
        """`host:port` while it serves, else None. Another port after each restart."""
        return self._address

    @property
    def up(self) -> bool:
        """It serves."""
        return self._address is not None

    @property
    def restarts(self) -> int:
        """How often it was started again after a death."""
        return self._restarts

    @property
    def pid(self) -> int | None:
        """Process id of the child that serves."""
        return self._process.pid if self._process is not None and self.up else None

    async def start(self) -> None:
        """Return when it serves.

        Raises DataFolderInUse if another process owns the folder, RetrievalUnavailable if it does not come up.
        """
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch(), name="vector-process")

    async def stop(self) -> None:
        """Let it flush and end it. No error if it was not started."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        await self._end()

    async def _watch(self) -> None:
        backoff = _BACKOFF_FIRST
        while True:
            started = time.monotonic()
            assert self._process is not None
            code = await self._process.wait()
            self._address = None
            _log.error("the vector process ended with code %s; starting it again", code)
            if time.monotonic() - started > _HEALTHY_AFTER:
                backoff = _BACKOFF_FIRST
            while not self.up:
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _BACKOFF_MOST)
                try:
                    await self._spawn()
                except (RetrievalUnavailable, DataFolderInUse) as error:
                    _log.error("the vector process did not start: %s", error)
            self._restarts += 1

    async def _spawn(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        command = (sys.executable, "-m", "trivet.vector", "--data", str(self._folder), "--listen", "127.0.0.1:0")
        with self._log_file.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal is for the gateway, which drains first. The environment is
            # copied: the engine's start changes it in another thread, under the feet of an exec that reads it in place.
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=log, start_new_session=True, env=dict(os.environ)
            )
        try:
            event = await self._announcement(self._process)
        except BaseException:
            await self._kill()
            raise
        self._address = str(event["address"])
        _log.info("the vector process %s serves on %s", self._process.pid, self._address)

    async def _announcement(self, process: Process) -> dict[str, Any]:
        """The JSON line that says how the start went."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._start_timeout):
                line = await process.stdout.readline()
        except TimeoutError:
            raise RetrievalUnavailable(f"the vector process did not serve within {self._start_timeout:g} s") from None
        if not line:
            code = await process.wait()
            raise RetrievalUnavailable(f"the vector process ended with code {code}: see {self._log_file.name}")
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "refused":
            await process.wait()
            raise DataFolderInUse(str(self._folder), int(event["pid"]))
        return event

    async def _end(self) -> None:
        process, self._address = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._stop_timeout):
                await process.wait()
        except TimeoutError:
            _log.warning("the vector process did not stop within %g s: killed", self._stop_timeout)
            await self._kill()

    async def _kill(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
