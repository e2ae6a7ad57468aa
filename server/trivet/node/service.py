"""The service `trivet.engine.v1.Engine` over one engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.engine.bounds import check_load, check_start, check_unload, check_watch
from trivet.engine.v1 import engine_pb2, engine_pb2_grpc
from trivet.engine.wire import start_from_proto
from trivet.errors import BackendUnavailable, Draining, Overloaded
from trivet.node.adapters import NodeAdapters
from trivet.node.answer import Answer
from trivet.node.answers import Answers
from trivet.node.identity import NodeIdentity
from trivet.node.status import Status, StatusBoard
from trivet.node.tally import Tally
from trivet.ports import Backend
from trivet.rpc.auth import Authenticator
from trivet.rpc.call import Call, Context, rpc_call, write_bounded
from trivet.rpc.messages.reading import Unreadable
from trivet.rpc.server import Listener, StartingServicer
from trivet.types.variant import VersionRef

ENGINE = engine_pb2.DESCRIPTOR.services_by_name["Engine"].full_name
WATCH_INTERVAL = 1.0  # seconds
_RETRY_AFTER = 1.0
_SMALL_JSON = 64 << 10  # characters that are read on the event loop


def serve_engine(listener: Listener, servicer: EngineServicer | StartingServicer) -> None:
    """Have a listener serve it."""
    listener.serve(engine_pb2_grpc.add_EngineServicer_to_server, servicer, ENGINE)


class EngineServicer:
    """Call everything from one event loop; `close` last. `keys`: without any, everyone who can connect is let in.

    `kv_use` tells the share of the KV cache in use, None if it is not known.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        backend: Backend,
        adapters: NodeAdapters,
        slots: AdapterSlots,
        keys: Authenticator,
        *,
        max_requests: int,
        patience: float,
        kv_use: Callable[[], float | None] = lambda: None,
    ) -> None:
        """At most `max_requests` are taken at once. A gateway that does not read its stream for `patience` seconds is
        left."""
        self.tally = Tally()
        self._identity = identity
        self._backend = backend
        self._adapters = adapters
        self._slots = slots
        self._keys = keys
        self._max_requests = max_requests
        self._patience = patience
        self._kv_use = kv_use
        self._running = 0
        self._idle = asyncio.Event()
        self._draining = False
        self._closed = False
        self._board = StatusBoard(self._status, adapters.forget)

    def changed(self) -> None:
        """The engine or what it holds is another than before."""
        self._board.changed()

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._running

    @property
    def watched(self) -> bool:
        """Whether any gateway watches."""
        return self._board.watched

    def drain(self, draining: bool) -> None:
        """Tell gateways to bring nothing new, or to bring it again. What they bring all the same is answered."""
        self._draining = draining
        self._board.changed()

    async def finish(self) -> None:
        """Refuse new requests, and wait until those under way have ended."""
        self.drain(True)
        self._closed = True
        while self._running:
            self._idle.clear()
            await self._idle.wait()

    async def close(self) -> None:
        """Nothing lapses any more."""
        await self._board.close()

    async def Describe(self, request: Any, context: Context) -> engine_pb2.DescribeResponse:
        """See the contract."""
        async with rpc_call(context) as call:
            self._admit(call, request)
            backend, identity = self._backend, self._identity
            if not backend.incarnation:
                raise BackendUnavailable("the engine is starting", _RETRY_AFTER)
            return engine_pb2.DescribeResponse(
                name=identity.name,
                instance=identity.instance,
                model_digest=identity.model_digest,
                tokenizer_digest=identity.tokenizer_digest,
                block_size=backend.block_size,
                context_tokens=backend.context_tokens,
                salts_after_prefix=backend.salts_after_prefix,
                max_requests=identity.max_requests,
                max_adapters_at_once=identity.adapters_at_once,
                max_adapters=identity.adapters,
                max_adapter_rank=identity.max_rank,
                engine_version=identity.engine_version,
                trivet_version=identity.trivet_version,
                max_message_bytes=identity.max_message_bytes,
            )
        raise AssertionError("unreachable: the call has ended")

    async def Generate(self, requests: Any, context: Context) -> None:
        """See the contract."""
        async with rpc_call(context) as call:
            self._admit(call)
            # Apart from the first message: gRPC cannot end a call when a write that also sends its headers is cut off.
            await context.send_initial_metadata(())
            await Answers(context, self._answer, self.tally, self._patience).run()

    async def LoadAdapter(self, request: Any, context: Context) -> engine_pb2.LoadAdapterResponse:
        """See the contract."""
        name = ""
        async with rpc_call(context) as call:
            self._admit(call, request)
            check_load(request)
            name = await self._adapters.load(VersionRef(request.name, request.version), request.digest, request.holder)
        return engine_pb2.LoadAdapterResponse(engine_name=name)

    async def UnloadAdapter(self, request: Any, context: Context) -> engine_pb2.UnloadAdapterResponse:
        """See the contract."""
        async with rpc_call(context) as call:
            self._admit(call, request)
            check_unload(request)
            await self._adapters.unload(request.engine_name, request.holder)
        return engine_pb2.UnloadAdapterResponse()

    async def Watch(self, request: Any, context: Context) -> None:
        """See the contract."""
        async with rpc_call(context) as call:
            self._admit(call, request)
            check_watch(request)
            async with self._board.watch(request.holder) as watch:
                while True:
                    await write_bounded(context, self._told(watch.now()), self._patience)
                    await watch.wait(request.interval or WATCH_INTERVAL)

    async def Drain(self, request: Any, context: Context) -> engine_pb2.DrainResponse:
        """See the contract."""
        async with rpc_call(context) as call:
            self._admit(call, request)
            if self._closed:
                raise Draining("this engine node is stopping", _RETRY_AFTER)
            self.drain(request.draining)
        return engine_pb2.DrainResponse(running=self._running)

    def _admit(self, call: Call, request: Any = None) -> None:
        call.require_operator(self._keys)
        if isinstance(request, Unreadable):
            raise request.error

    async def _answer(self, answer: Answer, start: engine_pb2.Start) -> None:
        check_start(start, max(1, self._backend.context_tokens))
        request = start_from_proto(start) if _is_small(start) else await asyncio.to_thread(start_from_proto, start)
        if self._closed:
            raise Draining("this engine node is stopping", _RETRY_AFTER)
        if self._running >= self._max_requests:
            raise Overloaded("requests", self._max_requests, _RETRY_AFTER)
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        self._running += 1
        try:
            with self._adapters.use(request.adapter):
                async with self._slots.enter(request.adapter):
                    await answer.run(self._backend, request, loop.time() - arrived)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    def _status(self) -> Status:
        return Status(
            incarnation=self._backend.incarnation,
            ready=self._backend.ready,
            draining=self._draining,
            adapters=tuple(self._adapters.resident),
            running=self._running - self._slots.waiting,
            waiting=self._slots.waiting,
            kv_use=self._kv_use(),
        )

    def _told(self, status: Status) -> engine_pb2.NodeStatus:
        return engine_pb2.NodeStatus(
            instance=self._identity.instance,
            incarnation=status.incarnation,
            ready=status.ready,
            draining=status.draining,
            adapters=status.adapters,
            running=max(0, status.running),
            waiting=status.waiting,
            kv_use=status.kv_use,
        )


def _is_small(start: engine_pb2.Start) -> bool:
    """Whether its JSON is read in no time."""
    tools = sum(len(tool.parameters) for tool in start.tools)
    return tools + len(start.json_schema) + len(start.template_variables) <= _SMALL_JSON
