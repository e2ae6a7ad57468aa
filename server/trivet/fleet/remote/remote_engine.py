"""An engine node as a backend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import grpc

from trivet.engine.failures import error_of
from trivet.engine.v1 import engine_pb2
from trivet.errors import BackendUnavailable
from trivet.fleet.remote.agreement import Agreement, NodeFacts
from trivet.fleet.remote.answers_call import AnswersCall
from trivet.fleet.remote.link import NodeLink, NodeView
from trivet.fleet.remote.target import RemoteSettings
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk

logger = logging.getLogger(__name__)
RETRY_AFTER = 1.0
UNLOAD_SECONDS = 10.0


class RemoteEngine:
    """Implements `ports.Backend` over one address. Call everything from one event loop.

    `on_change` is told whenever the node's status may be another. Schemas are tried out on the node, when a request
    brings one.
    """

    def __init__(
        self,
        address: str,
        settings: RemoteSettings,
        agreement: Agreement | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = settings.backend
        self.address = address
        self.incarnation = 0
        self.in_flight = 0
        self.view: NodeView | None = None
        self._agreement = agreement or Agreement(settings.expected_tokenizer, settings.expected_model)
        self._link = NodeLink(address, settings, self._agreement, self._heard)
        self._holder = settings.holder
        self._on_change = on_change
        self._running: asyncio.Task[None] | None = None
        self._answers: AnswersCall | None = None
        self._key: tuple[str, int] | None = None
        self._turned = asyncio.Event()
        self._own_at_report = 0

    @property
    def facts(self) -> NodeFacts | None:
        """What the node says of itself, since it was first reached."""
        return self._link.facts

    @property
    def problem(self) -> str:
        """Why it is not ready, in words; empty if it is."""
        if self.view is None:
            return self._link.problem
        return "" if self.view.ready else "its engine is not ready"

    @property
    def block_size(self) -> int:
        """See `ports.Backend.block_size`."""
        facts = self._agreement.facts
        return facts.block_size if facts else 16

    @property
    def context_tokens(self) -> int:
        """See `ports.Backend.context_tokens`."""
        facts = self._agreement.facts
        return facts.context_tokens if facts else 0

    @property
    def keeps_prefixes(self) -> bool:
        """See `ports.Backend.keeps_prefixes`."""
        return True

    @property
    def salts_after_prefix(self) -> bool:
        """See `ports.Backend.salts_after_prefix`."""
        facts = self._agreement.facts
        return facts.salts_after_prefix if facts else False

    @property
    def ready(self) -> bool:
        """It is there, and its engine takes requests."""
        return self.view is not None and self.view.ready

    @property
    def draining(self) -> bool:
        """It is to get nothing new."""
        return self.view is not None and self.view.draining

    @property
    def load(self) -> int:
        """Requests that it has: our own, exactly, and those of others, as it told last."""
        told = 0 if self.view is None else self.view.running + self.view.waiting
        return self.in_flight + max(0, told - self._own_at_report)

    async def start(self) -> None:
        """Connect, and return when it is ready. Cancelling it leaves the link as it is; `close` ends it."""
        self.connect()
        while not self.ready:
            self._turned.clear()
            await self._turned.wait()

    def connect(self) -> None:
        """Connect, and stay so, in the background."""
        if self._running is None:
            self._running = asyncio.create_task(self._link.run(), name=f"link to {self.address}")
        self._link.retry_now()

    async def close(self) -> None:
        """End the link; what is in flight fails."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
            self._running = None
        self._heard(None)

    async def death(self) -> str:
        """Wait until it is not ready; returns the reason."""
        while self.ready:
            self._turned.clear()
            await self._turned.wait()
        return self.problem

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """The node finds out when it comes with a request."""
        return True

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        """See `schema_known`."""

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`; raises Draining too, and Overloaded, from the node; MessageTooLarge."""
        self._require_ready()
        call = self._carrying()
        stream = call.begin(request)
        self.in_flight += 1
        ended = False
        try:
            while (chunk := await stream.next()) is not None:
                ended = chunk.finish is not None
                yield chunk
            ended = True
        except Exception:
            ended = True
            raise
        finally:
            self.in_flight -= 1
            unread = None if ended else await stream.leave()
            call.forget(stream)
            if unread is not None:
                request.on_unread(unread)
            if stream.charge is not None:
                request.on_charge(stream.charge)

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """Have the node load it, from its own sources; raises AdapterRejected, NotFound, AdapterSourceUnavailable if it
        cannot, Overloaded if it has no place."""
        await self.load_version(adapter.ref.name, adapter.ref.version, adapter.digest)

    async def load_version(self, name: str, version: str, digest: str) -> None:
        """The same, by what tells it from others."""
        self._require_ready()
        request = engine_pb2.LoadAdapterRequest(name=name, version=version, digest=digest, holder=self._holder)
        call = self._link.stub.LoadAdapter(request, metadata=self._link.metadata)
        await self._answered(call)

    async def unload_adapter(self, engine_name: str) -> None:
        """Give it back: the node unloads it once no other gateway wants it. No error if the node is away."""
        if not self.ready:
            return
        request = engine_pb2.UnloadAdapterRequest(engine_name=engine_name, holder=self._holder)
        call = self._link.stub.UnloadAdapter(request, metadata=self._link.metadata, timeout=UNLOAD_SECONDS)
        with contextlib.suppress(BackendUnavailable):
            await self._answered(call)

    async def drain(self, draining: bool) -> int:
        """Tell the node, and so all its gateways; how many requests are under way there."""
        if self.view is None:
            raise BackendUnavailable(f"engine node {self.address} is away: {self._link.problem}", RETRY_AFTER)
        request = engine_pb2.DrainRequest(draining=draining)
        call = self._link.stub.Drain(request, metadata=self._link.metadata, timeout=UNLOAD_SECONDS)
        return int((await self._answered(call)).running)

    async def _answered(self, call: Any) -> Any:
        """The answer of a unary call; BackendUnavailable as soon as the node is given up."""
        answering, lost = asyncio.ensure_future(call), asyncio.ensure_future(self._lost())
        try:
            await asyncio.wait({answering, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise BackendUnavailable(f"engine node {self.address} was lost: {self.problem}", RETRY_AFTER)
            return await answering
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure, self.address) from failure
        finally:
            lost.cancel()
            call.cancel()

    async def _lost(self) -> None:
        while self.view is not None:
            self._turned.clear()
            await self._turned.wait()

    def _require_ready(self) -> None:
        if not self.ready:
            raise BackendUnavailable(f"engine node {self.address} is not ready: {self.problem}", RETRY_AFTER)

    def _heard(self, view: NodeView | None) -> None:
        before = self.view
        self.view = view
        self._own_at_report = self.in_flight
        if view is not None and view.ready and view.key != self._key:
            self._key = view.key
            self.incarnation += 1
        if before is not None and (view is None or before.key != view.key):
            self._give_up()  # of an engine that died the node itself tells, each call
        self._turned.set()
        self._on_change()

    def _carrying(self) -> AnswersCall:
        """The call that carries answers; a new one if there is none, or none any more."""
        if self._answers is None or self._answers.ended:
            call = self._link.stub.Generate(metadata=self._link.metadata)
            self._answers = AnswersCall(call, self.address, self._link.max_message_bytes)
        return self._answers

    def _give_up(self) -> None:
        """The node, or the life of its engine, is gone: nothing comes of what it was asked."""
        if self._answers is not None:
            self._answers.give_up(
                BackendUnavailable(f"engine node {self.address} was lost: {self.problem}", RETRY_AFTER)
            )
