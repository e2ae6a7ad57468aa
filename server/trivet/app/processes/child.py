"""One child process, kept running."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from trivet.app.supervision.supervisor import Backoff, RestartSettings
from trivet.errors import FailedPrecondition
from trivet.vector.lifeline import environment_of_child

logger = logging.getLogger(__name__)
POLL = 0.05  # seconds; a file of a child's is looked for
RESTARTS = RestartSettings()


class Child:
    """A process that says in `folder/server.json` that it serves. Call everything from one event loop.

    `on_up` is told its addresses each time that it has begun to serve, `on_down` each time that it has ended.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        on_up: Callable[[Mapping[str, str]], None],
        on_down: Callable[[], None],
    ) -> None:
        self.name = name
        self.restarts = 0
        self.up = False
        self._command = command
        self._folder = folder
        self._on_up, self._on_down = on_up, on_down
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id; None between two lives."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Return when it serves, and keep it running from then on. Raises FailedPrecondition if it ends before."""
        await self._spawn()
        if not await self._serves():
            raise FailedPrecondition(f"process {self.name} did not start ({await self._ended()}); the log says why")
        self._running = asyncio.create_task(self._keep_running(), name=f"process {self.name}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL if it is there yet after so many seconds."""
        self._stopping.set()
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await self._wait()
        except TimeoutError:
            logger.warning("process %s did not end within %g s: killed", self.name, grace)
            self.signal(signal.SIGKILL)
            await self._wait()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _keep_running(self) -> None:
        backoff = Backoff(RESTARTS)
        clock = asyncio.get_running_loop().time
        while True:
            born = clock()
            told = await self._ended()
            if self._stopping.is_set():
                return
            if clock() - born >= RESTARTS.settled_after:
                backoff.reset()
            delay = backoff.next_delay()
            logger.error("process %s ended (%s); it is started again in %.1f s", self.name, told, delay)
            await asyncio.sleep(delay)
            if self._stopping.is_set():
                return
            self.restarts += 1
            await self._start_again()

    async def _start_again(self) -> None:
        """A start that fails, by a full disk or too many processes, is like a life that was short."""
        try:
            await self._spawn()
            if await self._serves():
                logger.warning("process %s serves again, as process id %s", self.name, self.pid)
        except Exception:
            logger.exception("process %s could not be started again", self.name)
            self.signal(signal.SIGKILL)  # if it lives, somebody could not be told where

    async def _spawn(self) -> None:
        (self._folder / "server.json").unlink(missing_ok=True)
        # It makes a group of its own (`trivet.cli.child`): a terminal's Ctrl-C is for the parent, which ends the others
        # in good order.
        self._process = await asyncio.create_subprocess_exec(*self._command, env=environment_of_child())

    async def _serves(self) -> bool:
        """Wait until it serves, or has ended; whether it serves."""
        process = self._process
        assert process is not None
        while process.returncode is None:
            with suppress(FileNotFoundError, ValueError):
                said = json.loads((self._folder / "server.json").read_text())
                if said.pop("pid") == process.pid:
                    self.up = True
                    self._on_up(said)
                    return True
            await asyncio.sleep(POLL)
        return False

    async def _ended(self) -> str:
        """Wait for its end; how it came, in words."""
        assert self._process is not None
        code = await self._process.wait()
        if self.up:
            self.up = False
            self._on_down()
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"

    async def _wait(self) -> None:
        if self._process is not None:
            await self._process.wait()
