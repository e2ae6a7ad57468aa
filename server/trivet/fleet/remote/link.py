"""The link to one node: it is described, watched, and given up when it says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from trivet.engine.failures import error_of
from trivet.engine.v1 import engine_pb2, engine_pb2_grpc
from trivet.errors import BackendUnavailable, TrivetError
from trivet.fleet.remote.agreement import Agreement, NodeFacts
from trivet.fleet.remote.target import RemoteSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a node said last. `key`: changes with each life of its engine."""

    key: tuple[str, int]
    ready: bool
    draining: bool
    adapters: frozenset[str]
    running: int
    waiting: int
    kv_use: float | None


@dataclass(slots=True)
class NodeLink:
    """Connects to a node and stays so, for as long as `run` runs. All calls come from one event loop.

    `heard`: told of each status, None when the node is given up. `problem`: why it is not there, in words.
    """

    address: str
    settings: RemoteSettings
    agreement: Agreement
    heard: Callable[[NodeView | None], None]
    facts: NodeFacts | None = None
    problem: str = "not connected yet"
    stub: Any = None
    metadata: tuple[tuple[str, str], ...] = ()
    _again: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """For ever; attempts come ever more slowly while they fail."""
        delay = self.settings.retry_first
        while True:
            connected = False
            try:
                channel = self.settings.access.channel(self.address)
                async with contextlib.aclosing(_Closing(channel)):
                    self.metadata = self.settings.access.metadata()
                    self.stub = engine_pb2_grpc.EngineStub(channel)
                    connected = await self._live()
            except (OSError, ValueError) as error:
                self._lose(f"its credentials cannot be read: {error}")
            except TrivetError as error:
                self._lose(str(error))
            except Exception as error:  # a bug must not end the link for ever
                logger.exception("the link to engine node %s failed", self.address)
                self._lose(f"an unexpected error: {error}")
            delay = self.settings.retry_first if connected else min(2 * delay, self.settings.retry_most)
            self._again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay * (1 - random.random() / 2)):
                    await self._again.wait()

    @property
    def max_message_bytes(self) -> int:
        """What one message to it may have; a node that does not say is taken to have the gateway's own limit."""
        told = 0 if self.facts is None else self.facts.max_message_bytes
        own = self.settings.access.max_message_bytes
        return min(told or own, own)

    def retry_now(self) -> None:
        """Do not wait for the next attempt."""
        self._again.set()

    async def _live(self) -> bool:
        """One connection, until it ends; whether the node fitted."""
        timeout = self.settings.connect_timeout
        try:
            told = await self.stub.Describe(engine_pb2.DescribeRequest(), timeout=timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure, self.address) from failure
        facts = NodeFacts.of(told)
        if problem := self.agreement.join(facts):
            raise BackendUnavailable(f"engine node {self.address} does not fit: {problem}")
        self.facts = facts
        request = engine_pb2.WatchRequest(interval=self.settings.heartbeat, holder=self.settings.holder)
        watch = self.stub.Watch(request, metadata=self.metadata)
        try:
            await self._watch(watch, facts)
        finally:
            watch.cancel()
        return True

    async def _watch(self, watch: Any, facts: NodeFacts) -> None:
        while True:
            status = await self._status(watch)
            if status.instance != facts.instance:
                self._lose("it is another process by now")
                return
            self.problem = ""
            self.heard(
                NodeView(
                    key=(status.instance, status.incarnation),
                    ready=status.ready,
                    draining=status.draining,
                    adapters=frozenset(status.adapters),
                    running=status.running,
                    waiting=status.waiting,
                    kv_use=status.kv_use if status.HasField("kv_use") else None,
                )
            )

    async def _status(self, watch: Any) -> Any:
        silence = self.settings.lost_after
        try:
            async with asyncio.timeout(silence):
                status = await watch.read()
        except TimeoutError as error:
            message = f"engine node {self.address} gave no sign of life for {silence:g} s"
            raise BackendUnavailable(message) from error
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure, self.address) from failure
        if status is grpc.aio.EOF:
            raise BackendUnavailable(f"engine node {self.address} ended its watch")
        return status

    def _lose(self, why: str) -> None:
        if why != self.problem:
            logger.warning("engine node %s is away: %s", self.address, why)
        self.problem = why
        self.heard(None)


class _Closing:
    """A channel, for `aclosing`: its calls are cancelled."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def aclose(self) -> None:
        await self._channel.close(0)
