"""Clients of several gateways, as the documents advise: round robin, health checks, pings, and gRPC's own retries."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from benchmarks.fleet.load import QUESTIONS, ROUTES, request
from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.client import Target

SORTERS = {"sorter": ("ticket-sorter@1", "ticket-sorter@2"), "json": ("json-answer@1",), "base": ("",)}
DEADLINE = 60.0
_SERVICE = "trivet.api.v1.Inference"
# docs/operations.md, "What clients should do".
_ADVISED = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": _SERVICE},
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "1s",
                "maxBackoff": "10s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ],
}


@dataclass(slots=True)
class Sent:
    """One request: when it began, had its first text and ended, and how."""

    begun: float
    first: float | None = None
    ended: float = 0.0
    failure: str = ""
    abandoned: bool = False
    answered: bool = False
    wrong: str = ""


@dataclass
class Clients:
    """`streams` clients that ask one request after the other, until they are told to stop."""

    targets: Sequence[Target]
    streams: int
    seed: int
    sent: list[Sent] = field(default_factory=list)
    in_flight: int = 0
    _expected: dict[tuple[str, str], str] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def learn(self, routes: Sequence[str]) -> None:
        """What each question is answered with when it is asked alone, by the adapter that a route has now."""
        async with self._channel() as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
            for route in routes:
                for question in QUESTIONS:
                    answer = await stub.Generate(request(route, question), timeout=DEADLINE, metadata=self._next())
                    self._expected[answer.receipt.adapter, question] = answer.text
                    self.sent.append(Sent(time.monotonic(), ended=time.monotonic(), answered=True))

    async def run(self) -> None:
        """Until `stop`."""
        await asyncio.gather(*(self._stream(random.Random(self.seed + number)) for number in range(self.streams)))

    def stop(self) -> None:
        """Those that are under way are finished."""
        self._stop.set()

    async def _stream(self, draw: random.Random) -> None:
        async with self._channel() as channel:
            stub = inference_pb2_grpc.InferenceStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
            while not self._stop.is_set():
                one = Sent(time.monotonic())
                self.sent.append(one)
                self.in_flight += 1
                try:
                    await self._ask(stub, draw, one)
                except grpc.aio.AioRpcError as failure:
                    one.failure = f"{failure.code().name}: {failure.details()}"
                    await asyncio.sleep(0.1)
                finally:
                    self.in_flight -= 1
                    one.ended = time.monotonic()

    async def _ask(self, stub: inference_pb2_grpc.InferenceStub, draw: random.Random, one: Sent) -> None:
        route, question = draw.choice(ROUTES), draw.choice(QUESTIONS)
        abandon = draw.random() < 0.08
        pieces: list[str] = []
        call = stub.GenerateStream(request(route, question), timeout=DEADLINE, metadata=self._next())
        async for event in call:
            if event.HasField("final"):
                one.answered = True
                one.wrong = self._difference(route, question, event.final, "".join(pieces))
                continue
            one.first = one.first or time.monotonic()
            pieces.append(event.delta.text)
            if abandon:
                one.abandoned = True
                call.cancel()
                return

    def _difference(self, route: str, question: str, final: inference_pb2.GenerateResponse, text: str) -> str:
        adapter = final.receipt.adapter
        if adapter not in SORTERS[route]:
            return f"route {route} was answered by {adapter!r}"
        expected = self._expected[adapter, question]
        return "" if text == expected else f"{adapter or 'the base model'}: {text!r}, expected {expected!r}"

    def _channel(self) -> grpc.aio.Channel:
        addresses = ",".join(target.address for target in self.targets)
        return grpc.aio.insecure_channel(
            f"ipv4:{addresses}",
            options=[
                ("grpc.service_config", json.dumps(_ADVISED)),
                ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.keepalive_time_ms", 15_000),
                ("grpc.keepalive_timeout_ms", 5_000),
                ("grpc.http2.ping_timeout_ms", 5_000),
            ],
        )

    def _next(self) -> tuple[tuple[str, str]]:
        return (("x-request-id", f"load-{next(self._numbers)}"),)
