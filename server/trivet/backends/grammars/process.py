"""The compiling process as its parent sees it: started when it is needed, started again when it was ended."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from trivet.backends.grammars.limits import TrialLimits
from trivet.backends.grammars.verdict import Outcome, Verdict
from trivet.errors import BackendUnavailable
from trivet.vector.lifeline import environment_of_child

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
PATIENCE = 20.0  # times the CPU seconds allowed, on the clock, and as many seconds more: it may get little of a CPU
RETRY_AFTER = 1.0
_TRIES = 2


def write_vocabulary(folder: Path, vocabulary: str) -> Path:
    """Keep a tokenizer (xgrammar's JSON) in a file that is named by its content, below `folder`; returns it."""
    content = vocabulary.encode()
    path = folder / "vocabularies" / f"{hashlib.sha256(content).hexdigest()[:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    return path


class CompilerProcess:
    """Tries schemas out in a child. One call at a time, from one event loop."""

    def __init__(self, vocabulary: Path, limits: TrialLimits) -> None:
        """`vocabulary`: the file of the tokenizer."""
        self._vocabulary = vocabulary
        self._limits = limits
        self._child: Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        return None if self._child is None else self._child.pid

    async def start(self) -> None:
        """Start it if it does not run; BackendUnavailable if it does not come up."""
        if self._child is not None and self._child.returncode is None:
            return
        limits = self._limits
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "trivet.backends.grammars.worker"),
            f"--vocabulary={self._vocabulary}",
            f"--cpu-seconds={limits.cpu_seconds}",
            f"--step-seconds={limits.step_seconds}",
            f"--memory-bytes={limits.memory_bytes}",
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            start_new_session=True,  # Ctrl-C is for the gateway, which drains first
            env=environment_of_child({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                ready = await self._line()
        except TimeoutError:
            ready = b""
        except asyncio.CancelledError:
            await self.stop()
            raise
        if not ready:
            await self.stop()
            raise BackendUnavailable("the process that compiles schemas did not start", RETRY_AFTER)

    async def compile(self, schema: str) -> Verdict:
        """Try a schema (JSON text) out. BackendUnavailable if that cannot be done; it says nothing of the schema."""
        for _ in range(_TRIES):
            await self.start()
            verdict = await self._ask(schema)
            if verdict is not None:
                return verdict
        raise BackendUnavailable("the process that compiles schemas was killed", RETRY_AFTER)

    async def stop(self) -> None:
        """End it."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _ask(self, schema: str) -> Verdict | None:
        """None if somebody else killed it."""
        assert self._child is not None
        assert self._child.stdin is not None
        limit = self._limits.cpu_seconds
        try:
            async with asyncio.timeout(PATIENCE * (limit + 1)):
                self._child.stdin.write(json.dumps({"schema": schema}).encode() + b"\n")
                with suppress(ConnectionError):
                    await self._child.stdin.drain()
                line = await self._line()
        except TimeoutError:
            await self.stop()
            return Verdict(Outcome.TOO_SLOW, _too_slow(limit))
        except asyncio.CancelledError:
            await self.stop()
            raise
        if line:
            answer = json.loads(line)
            return Verdict(Outcome(answer["outcome"]), answer["refusal"], answer["memory_bytes"])
        return self._death(await self._child.wait())

    def _death(self, code: int) -> Verdict | None:
        self._child = None
        if code == -signal.SIGPROF:
            return Verdict(Outcome.TOO_SLOW, _too_slow(self._limits.cpu_seconds))
        logger.warning("the process that compiles schemas ended (%d)", code)
        if code in (-signal.SIGKILL, -signal.SIGTERM, 0):
            return None
        return Verdict(Outcome.TOO_LARGE, "compiling it takes too much memory, or fails")

    async def _line(self) -> bytes:
        assert self._child is not None
        assert self._child.stdout is not None
        return await self._child.stdout.readline()


def _too_slow(seconds: float) -> str:
    return f"compiling it takes longer than {seconds:g} s of CPU time"
