"""The vector process's life: lock, open, serve, announce, stop."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from qdrant_client.grpc import collections_service_pb2, points_service_pb2, qdrant_pb2

from trivet.vector.catalogue import CollectionCalls, health_calls
from trivet.vector.commands import Commands
from trivet.vector.engine.collection import Collection
from trivet.vector.engine.collections import Collections, sync_tree
from trivet.vector.engine.lock import FolderLock
from trivet.vector.key import KeyCheck
from trivet.vector.points import PointsCalls
from trivet.vector.service import service
from trivet.vector.strict import Missing

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 2**20
# A flush holds up every call that comes meanwhile, some 0.3 s with 20,000 passages: it waits for so many seconds
# without a call, or for so many operations in the log.
_IDLE = 5.0
_MOST_UNFLUSHED = 50_000
_STOP_GRACE = 1.0
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
]


def loopback(listen: str) -> str:
    """The host of `listen` (`host:port`) if it is one of this machine's loopback addresses; ValueError if not.

    Who may call it is told by its key, which only the process that started it knows.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"expected host:port, got {listen!r}")
    if not ipaddress.ip_address(host.strip("[]")).is_loopback:
        raise ValueError(f"the vector process listens on loopback only, not on {host}")
    return host


async def serve(folder: Path, listen: str, *, sets_aside: bool = True, key: str = "") -> None:
    """Serve the collections in `folder` until SIGTERM, SIGINT or the end of stdin, then flush and return.

    One that cannot be opened is set aside, or without `sets_aside` left alone. With a `key` that others know, it is
    nobody's child: it serves whoever has the key, says nothing on stdout and does not listen to stdin.

    Announces itself with one JSON line on stdout once it answers calls: `{"event": "serving", "address", "pid",
    "key"}`. Every call must carry the key, a new one at each start, as Qdrant's `api-key`: other users of the machine
    can reach the port, and not the pipe.
    Raises DataFolderInUse if another process owns the folder, ValueError if `listen` is not on loopback.
    """
    host = loopback(listen)
    lock = FolderLock(folder)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    collections = Collections(folder / "collections", sets_aside=sets_aside)
    own_key = key or secrets.token_hex(32)
    server = _server(collections, own_key)
    port = server.add_insecure_port(listen)
    await server.start()
    flushing = asyncio.create_task(_flush_when_idle(collections))
    endings: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
    if key:
        _log.info("serving %s on %s:%d", folder, host, port)
    else:
        announce({"event": "serving", "address": f"{host}:{port}", "pid": os.getpid(), "key": own_key})
        endings.append(asyncio.create_task(_obey(Commands(collections))))
    await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
    for task in (flushing, *endings):
        task.cancel()
    await server.stop(_STOP_GRACE)
    collections.close()
    lock.release()


def optimise(folder: Path, name: str) -> None:
    """Optimise a collection of a folder that no process has open, and say so like `serve`: `{"event": "optimised",
    "changed", "points", "seconds"}`.

    Killed at any time, it leaves the collection as it was or optimised. Raises DataFolderInUse, Missing.
    """
    lock = FolderLock(folder)
    path = folder / "collections" / name
    if not path.is_dir():
        raise Missing(f"Collection `{name}` doesn't exist!")
    started = time.monotonic()
    collection = Collection(path)
    changed, points = collection.optimise(), collection.points
    collection.close()
    sync_tree(path)
    lock.release()
    announce(
        {"event": "optimised", "changed": changed, "points": points, "seconds": round(time.monotonic() - started, 3)}
    )


def announce(event: Mapping[str, Any]) -> None:
    """One JSON line on stdout, for the process that started this one."""
    os.write(1, json.dumps(event).encode() + b"\n")


def _server(collections: Collections, key: str) -> Any:
    points = points_service_pb2.DESCRIPTOR.services_by_name["Points"]
    catalogue = collections_service_pb2.DESCRIPTOR.services_by_name["Collections"]
    root = qdrant_pb2.DESCRIPTOR.services_by_name["Qdrant"]
    server = grpc.aio.server(interceptors=[KeyCheck(key)], options=_OPTIONS)
    server.add_generic_rpc_handlers(
        (
            service(points, PointsCalls(collections).calls()),
            service(catalogue, CollectionCalls(collections).calls()),
            service(root, health_calls()),
        )
    )
    return server


async def _obey(commands: Commands) -> None:
    """Do what stdin says; return when it ends, which it does when whoever holds its other end is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while (line := await reader.readline()).endswith(b"\n"):
        announce(commands.run(line))


async def _flush_when_idle(collections: Collections) -> None:
    """Keep the write-ahead log, and so the replay at the next start, short without flushing under load."""
    seen = 0
    while True:
        await asyncio.sleep(_IDLE)
        idle, seen = collections.uses == seen, collections.uses
        if idle or collections.unflushed >= _MOST_UNFLUSHED:
            collections.flush()
