"""The Admin service over a real listener, with the parts that a test gives it and no others."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from tests.support.gateway.harness import LIMITS
from trivet.api.v1 import admin_pb2_grpc
from trivet.routing.table import RouteTable
from trivet.rpc.admin import AdminServicer
from trivet.rpc.auth import Authenticator, KeyEntry
from trivet.rpc.rollouts import RolloutWatches
from trivet.rpc.server import Health, Listener
from trivet.rpc.uploads import UnfinishedUploads
from trivet.types.request import KeyRole
from trivet.types.variant import Route


@asynccontextmanager
async def admin_stub(
    *,
    routes: Mapping[str, Route] | None = None,
    adapters: Any = None,
    indexes: Any = None,
    reload: Any = None,
    keys: Mapping[str, KeyRole] | None = None,
    uploads: UnfinishedUploads | None = None,
    rollouts: Any = None,
    watches: RolloutWatches | None = None,
    interactions: Any = None,
) -> AsyncIterator[admin_pb2_grpc.AdminStub]:
    """A stub for it, see `admin_channel`."""
    parts: Any = {"adapters": adapters, "indexes": indexes, "reload": reload, "uploads": uploads}
    parts |= {"rollouts": rollouts, "watches": watches, "interactions": interactions}
    async with admin_channel(routes=routes, keys=keys, **parts) as channel:
        yield admin_pb2_grpc.AdminStub(channel)  # type: ignore[no-untyped-call,unused-ignore]


@asynccontextmanager
async def admin_channel(
    *,
    routes: Mapping[str, Route] | None = None,
    adapters: Any = None,
    indexes: Any = None,
    reload: Any = None,
    keys: Mapping[str, KeyRole] | None = None,
    uploads: UnfinishedUploads | None = None,
    rollouts: Any = None,
    watches: RolloutWatches | None = None,
    interactions: Any = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to it, see `admin_address`."""
    parts: Any = {"adapters": adapters, "indexes": indexes, "reload": reload, "uploads": uploads}
    parts |= {"rollouts": rollouts, "watches": watches, "interactions": interactions}
    async with admin_address(routes=routes, keys=keys, **parts) as address:
        channel = grpc.aio.insecure_channel(address)
        try:
            yield channel
        finally:
            await channel.close()


@asynccontextmanager
async def admin_address(
    *,
    routes: Mapping[str, Route] | None = None,
    adapters: Any = None,
    indexes: Any = None,
    reload: Any = None,
    keys: Mapping[str, KeyRole] | None = None,
    uploads: UnfinishedUploads | None = None,
    rollouts: Any = None,
    watches: RolloutWatches | None = None,
    interactions: Any = None,
) -> AsyncIterator[str]:
    """Where it listens. `keys`: each secret, which is its tenant too, and its role; without any, all are operators."""
    entries = [
        KeyEntry(hashlib.sha256(name.encode()).hexdigest(), name, role, name) for name, role in (keys or {}).items()
    ]
    unused: Any = None
    servicer = AdminServicer(
        routes=RouteTable(dict(routes or {})),
        adapters=adapters,
        indexes=indexes,
        searches=unused,
        readiness=unused,
        reload=reload,
        keys=Authenticator(entries),
        uploads=uploads or UnfinishedUploads(16, 30),
        rollouts=rollouts,
        watches=watches or RolloutWatches(interval=0.01),
        interactions=interactions,
        slow_reader_timeout=0.5,
    )
    listener = Listener(LIMITS, Health())
    listener.serve_admin(servicer)
    try:
        yield await listener.start("127.0.0.1:0")
    finally:
        await listener.stop(0)
