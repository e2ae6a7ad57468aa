"""Many engine nodes in one process, on one listener: each address of the loopback network is one of them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support.engine.served_node import serve_node
from trivet.testing.backend import ScriptedBackend
from trivet.vector.lifeline import die_with_parent

MOST = 1000
_SCRIPT = ["word "] * 16  # messages of an answer


@dataclass(frozen=True)
class Nodes:
    """Their addresses, and their process."""

    addresses: list[str]
    pid: int


@contextmanager
def listening() -> Iterator[Nodes]:
    """`MOST` nodes, which say their script at once."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        port = ours.recv()
        assert process.pid is not None
        yield Nodes([f"127.{1 + number // 250}.0.{1 + number % 250}:{port}" for number in range(MOST)], process.pid)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection) -> None:
    die_with_parent()
    asyncio.run(_served(pipe))


async def _served(pipe: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        backend = ScriptedBackend(_SCRIPT, interval=0.0)
        async with serve_node(backend, Path(folder), listen="0.0.0.0:0", max_requests=sys.maxsize) as node:
            pipe.send(int(node.address.rpartition(":")[2]))
            await asyncio.Event().wait()
