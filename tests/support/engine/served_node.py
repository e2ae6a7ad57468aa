"""An engine node in the test's own process, on a backend of the test's, and what a gateway has of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import NotFound
from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.fleet.remote.target import NodeAccess, RemoteSettings
from trivet.node.adapters import NodeAdapters
from trivet.node.identity import NodeIdentity
from trivet.node.service import ENGINE, EngineServicer, serve_engine
from trivet.ports import Backend
from trivet.rpc.auth import Authenticator, KeyEntry
from trivet.rpc.server import Health, Listener, ListenerSettings, TlsFiles
from trivet.types.adapter import StagedAdapter
from trivet.types.request import KeyRole
from trivet.types.variant import VersionRef


@dataclass
class KnownCopies:
    """Stands for `AdapterStaging`: what was staged elsewhere, by digest."""

    known: dict[str, StagedAdapter] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def add(self, adapters: Iterable[StagedAdapter]) -> None:
        for adapter in adapters:
            self.known[adapter.digest] = adapter

    def restore(self, ref: VersionRef, digest: str) -> StagedAdapter:
        if digest not in self.known:
            raise NotFound(f"adapter {ref} is in none of the places")
        self.fetched.append(str(ref))
        return self.known[digest]

    def sweep(self, keep: object, names: object = ()) -> None:
        """There is nothing to sweep."""

    def discard(self, staged: StagedAdapter) -> None:
        """There is nothing to discard."""

    def stop(self) -> None:
        """Nothing is fetched."""


@dataclass(frozen=True)
class ServedNode:
    """`address`: where it serves."""

    address: str
    servicer: EngineServicer
    adapters: NodeAdapters
    copies: KnownCopies
    listener: Listener


def identity(**changes: Any) -> NodeIdentity:
    """A node's, with small numbers."""
    values: dict[str, Any] = {
        "name": "node",
        "instance": "instance",
        "model_digest": "model",
        "tokenizer_digest": "tokenizer",
        "max_requests": 16,
        "adapters_at_once": 2,
        "adapters": 8,
        "max_rank": 8,
        "engine_version": "test",
        "trivet_version": "test",
        "max_message_bytes": 8 << 20,
    }
    return NodeIdentity(**(values | changes))


@asynccontextmanager
async def serve_node(
    backend: Backend,
    folder: Path,
    *,
    places: int = 8,
    slots: int = 2,
    quantum: float = 0.5,
    secrets: Sequence[str] = (),
    tls: TlsFiles | None = None,
    copies: KnownCopies | None = None,
    listen: str = "127.0.0.1:0",
    max_requests: int = 256,
    patience: float = 30.0,
    **changes: Any,
) -> AsyncIterator[ServedNode]:
    """`secrets`: the keys that let gateways in; `changes`: of its identity."""
    copies = copies or KnownCopies()
    told: list[EngineServicer] = []

    def changed() -> None:
        for one in told:
            one.changed()

    adapters = NodeAdapters(copies, folder, backend, places, 2, changed)  # type: ignore[arg-type]
    await adapters.open()
    keys = Authenticator(
        [KeyEntry(hashlib.sha256(secret.encode()).hexdigest(), "", KeyRole.OPERATOR) for secret in secrets]
    )
    servicer = EngineServicer(
        identity(adapters=places, **changes), backend, adapters, AdapterSlots(slots=slots, quantum=quantum), keys,
        max_requests=max_requests,
        patience=patience,
    )  # fmt: skip
    told.append(servicer)
    listener = Listener(ListenerSettings(8 << 20, 5.0, 60.0, 20.0, None, 30.0, tls), Health((ENGINE,)))
    serve_engine(listener, servicer)
    address = await listener.start(listen)
    try:
        yield ServedNode(address, servicer, adapters, copies, listener)
    finally:
        await listener.stop(0)
        await servicer.close()
        await adapters.close()


def remote_settings(access: NodeAccess | None = None, **changes: Any) -> RemoteSettings:
    """Of a gateway that notices soon."""
    values: dict[str, Any] = {
        "backend": "remote",
        "holder": "test",
        "access": access or NodeAccess(),
        "expected_tokenizer": "tokenizer",
        "heartbeat": 0.2,
        "lost_after": 2.0,
        "retry_first": 0.05,
        "retry_most": 0.5,
    }
    return RemoteSettings(**(values | changes))


@asynccontextmanager
async def connected(node: ServedNode, **changes: Any) -> AsyncIterator[RemoteEngine]:
    """A gateway's view of it, ready."""
    engine = RemoteEngine(node.address, remote_settings(**changes))
    try:
        async with asyncio.timeout(60):
            await engine.start()
        yield engine
    finally:
        await engine.close()


class RemoteUnderTest(RemoteEngine):
    """Adapters that a test staged are what its node finds in its places."""

    copies: KnownCopies

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """See `RemoteEngine.load_adapter`."""
        self.copies.add([adapter])
        await super().load_adapter(adapter)


@asynccontextmanager
async def over_the_wire(
    backend: Backend, folder: Path, resident: Iterable[StagedAdapter]
) -> AsyncIterator[RemoteUnderTest]:
    """A backend behind a node of its own, with these adapters loaded."""
    copies = KnownCopies()
    async with serve_node(backend, folder, copies=copies) as node:
        engine = RemoteUnderTest(node.address, remote_settings())
        engine.copies = copies
        try:
            async with asyncio.timeout(60):
                await engine.start()
            for adapter in resident:
                await engine.load_adapter(adapter)
            yield engine
        finally:
            await engine.close()
