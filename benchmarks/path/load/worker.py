"""A child process that takes commands and gives results: one JSON object per line, on its stdin and stdout."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from benchmarks.measuring.repository import ROOT

STOP_TIMEOUT = 30.0
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class WorkerFailedError(Exception):
    """The worker could not do what it was asked, or ended."""


class Worker:
    """The parent's side: runs `module` with absolute paths. All that the child prints goes to `log`."""

    def __init__(
        self, module: str, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._module = module
        command = [sys.executable, "-m", module, *arguments]
        self._log = log.open("w")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **(environment or {})},
            cwd=ROOT,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its result; WorkerFailedError if it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerFailedError(f"{self._module} ended; see {self._log.name}")
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise WorkerFailedError(f"{self._module}: {result['error']}; see {self._log.name}")
        return result


def take_stdout() -> TextIO:
    """Keep stdout for results; whatever prints from now on goes to stderr. Before anything else in a child."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return results


async def serve(results: TextIO, handler: Handler) -> None:
    """The child's side: answer commands until stdin ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            result = await handler(json.loads(line))
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        results.write(json.dumps(result) + "\n")
        results.flush()
