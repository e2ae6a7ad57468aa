"""One run of the vector process: start it, ask it for what Qdrant's protocol does not have, end it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from trivet.errors import DataFolderInUse, FailedPrecondition, NotFound, RetrievalUnavailable
from trivet.vector.lifeline import environment_of_child

_log = logging.getLogger(__name__)

_SAME_TURN = 1.0  # seconds


class VectorChild:
    """A child process that runs. Use from one event loop."""

    def __init__(self, process: Process, address: str, key: str) -> None:
        """`key`: what its calls must carry; it says it on its pipe, and to nobody else."""
        self._process = process
        self.address = address
        self.key = key
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read(), name="vector-process-answers")

    @classmethod
    async def spawn(
        cls, folder: Path, log_file: Path, niceness: int, start_timeout: float, *, look: bool = False
    ) -> VectorChild:
        """Return when it serves `folder`; to `look` only, it leaves collections that cannot be opened where they are.

        Raises DataFolderInUse if another process owns the folder, RetrievalUnavailable if it does not come up.
        """
        process = await _start(folder, log_file, niceness, "--listen", "127.0.0.1:0", *(["--look"] if look else []))
        try:
            event = await _event(process, folder, log_file, start_timeout)
        except BaseException:
            await _kill(process)
            raise
        return cls(process, str(event["address"]), str(event["key"]))

    @staticmethod
    async def optimise(folder: Path, name: str, log_file: Path, niceness: int) -> dict[str, Any]:
        """Run one that optimises a collection of `folder` and ends; {"changed", "points", "seconds"}.

        Cancelled, it is killed, and the collection is as it was. Raises DataFolderInUse, RetrievalUnavailable.
        """
        process = await _start(folder, log_file, niceness, "--optimize", name)
        try:
            event = await _event(process, folder, log_file, None)
            await process.wait()
            return event
        finally:
            await _kill(process)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def command(self, do: str, timeout: float, **arguments: str) -> Any:
        """The result of a command (`trivet.vector.commands`).

        Raises RetrievalUnavailable when it ends or does not answer, NotFound, FailedPrecondition when it refuses.
        """
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            if self._reader.done():
                raise RetrievalUnavailable("the vector process has ended")
            self._process.stdin.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
            done, _ = await asyncio.wait({answer}, timeout=timeout)
            if not done:  # this loop itself may have stood still: then the answer is there, only not read yet
                done, _ = await asyncio.wait({answer}, timeout=_SAME_TURN)
            if not done:
                raise RetrievalUnavailable(f"the vector process did not answer within {timeout:g} s")
            return answer.result()
        finally:
            del self._waiting[number]

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await self._process.wait()

    async def end(self, timeout: float) -> None:
        """Let it flush; killed after `timeout` seconds."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(timeout):
                await self._process.wait()
        except TimeoutError:
            _log.warning("the vector process did not stop within %g s: killed", timeout)
            await self.kill()

    async def kill(self) -> None:
        """End it at once. Acknowledged writes are in its log."""
        await _kill(self._process)

    async def _read(self) -> None:
        """Answers to those who wait; the end of the process to all of them."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            answer = self._waiting.get(event["id"])
            if answer is None or answer.done():
                continue
            if event["event"] == "done":
                answer.set_result(event["result"])
            else:
                kind = NotFound if event["kind"] == "missing" else FailedPrecondition
                answer.set_exception(kind(event["message"]))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(RetrievalUnavailable("the vector process has ended"))


async def _start(folder: Path, log_file: Path, niceness: int, *arguments: str) -> Process:
    command = (sys.executable, "-m", "trivet.vector", "--data", str(folder), "--nice", str(niceness), *arguments)
    for needed in (folder, log_file.parent):
        needed.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        # In a session of its own: Ctrl-C in a terminal is for the gateway, which drains first. One with a low priority
        # stays in our session, because kernels that share processors out by session count a niceness only inside one;
        # it makes a group of its own (uvloop cannot do that for it).
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
            start_new_session=niceness == 0,
            env=environment_of_child(),
        )


async def _event(process: Process, folder: Path, log_file: Path, timeout: float | None) -> dict[str, Any]:
    """The JSON line that says how the start, or the work, went."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(timeout):
            line = await process.stdout.readline()
    except TimeoutError:
        raise RetrievalUnavailable(f"the vector process did not serve within {timeout:g} s") from None
    if not line:
        code = await process.wait()
        raise RetrievalUnavailable(f"the vector process ended with code {code}: see {log_file.name}")
    event: dict[str, Any] = json.loads(line)
    if event["event"] == "refused":
        await process.wait()
        raise DataFolderInUse(str(folder), int(event["pid"]))
    return event


async def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
