"""The engine nodes that are actors of a Ray cluster.

A child process looks for them and prints what it found, a line each time (`trivet.app.ray_cluster.named_engines`):
Ray's library ends the process it is in when Ray is lost, and a gateway serves on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Sequence

from trivet.fleet.backoff import Backoff
from trivet.fleet.discovery.discovery import Found
from trivet.vector.lifeline import environment_of_child

MOST = 4096
MAX_LINE = 1 << 20
FIRST_SILENCE = 120.0  # seconds for the child's start and its connection to Ray
SILENCE = 30.0  # beyond `refresh`, for one look
RETRY_FIRST, RETRY_MOST = 1.0, 30.0
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]{2,45}\]|[^:\s\[\]]{1,253}):[0-9]{1,5}")


class _EndedError(Exception):
    """The child is of no more use; why."""


class RayNames:
    """What the child says. One that ends, says a problem or says nothing is replaced; what it said last stands."""

    def __init__(self, command: Sequence[str], refresh: float) -> None:
        """`command`: of the child, which looks every `refresh` seconds."""
        self._command = command
        self._refresh = refresh

    async def watch(self) -> AsyncGenerator[Found, None]:
        """See `Discovery.watch`."""
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        told: Found | None = None
        while True:
            try:
                async with contextlib.aclosing(self._follow()) as followed:
                    async for found in followed:
                        backoff.reset()
                        if found != told:
                            yield found
                        told = found
            except (_EndedError, OSError) as ended:
                problem = f"the Ray cluster cannot be asked: {ended}"
                if told is None or told.problem != problem:
                    told = Found(None, problem)
                    yield told
            await asyncio.sleep(backoff.next_delay())

    async def _follow(self) -> AsyncGenerator[Found, None]:
        """What one child says. Raises _EndedError when it is of no more use."""
        child = await asyncio.create_subprocess_exec(
            *self._command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, limit=MAX_LINE, env=environment_of_child()
        )
        try:
            silence = FIRST_SILENCE
            while True:
                yield Found(_known(await _line(child, silence)))
                silence = self._refresh + SILENCE
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def _line(child: Process, silence: float) -> bytes:
    assert child.stdout is not None
    try:
        async with asyncio.timeout(silence):
            line = await child.stdout.readline()
    except TimeoutError:
        raise _EndedError(f"nothing was heard for {silence:g} s") from None
    except ValueError:
        raise _EndedError(f"a line is longer than {MAX_LINE:,} bytes") from None
    if not line:
        raise _EndedError(f"the process that asks ended with exit code {await child.wait()}")
    return line


def _known(line: bytes) -> frozenset[str]:
    """The addresses of a line; raises _EndedError for its problem, and for one that is no such line."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise _EndedError("a line is no JSON") from None
    if isinstance(told, dict) and "problem" in told:
        raise _EndedError(str(told["problem"]))
    known = told.get("known") if isinstance(told, dict) else None
    if not isinstance(known, list) or len(known) > MOST:
        raise _EndedError(f"a line has no list of at most {MOST:,} addresses")
    if not all(isinstance(one, str) and _ADDRESS.fullmatch(one) for one in known):
        raise _EndedError("an engine's address is not host:port")
    return frozenset(known)
