"""Requests against one gateway, whose answers are known."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

from trivet.api.v1 import inference_pb2
from trivet.client import CallFailed, Target
from trivet.client.aio import AsyncClient

ROUTES = ("base", "json", "sorter")
QUESTIONS = [f"The pump of machine {number} leaks, and the invoice is wrong. What now?" for number in range(12)]


@dataclass(slots=True)
class Sent:
    """One request: when it began, had its first text and ended, and how."""

    begun: float
    first: float | None = None
    ended: float = 0.0
    failure: CallFailed | None = None
    abandoned: bool = False
    wrong: bool = False
    receipt: inference_pb2.GenerateResponse | None = None
    request_id: str = ""


@dataclass
class Load:
    """`streams` clients that ask one request after the other, until they are told to stop."""

    target: Target
    streams: int
    seed: int
    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def learn(self) -> None:
        """What each question is answered with when it is asked alone."""
        async with AsyncClient(self.target, timeout=120) as client:
            for route in ROUTES:
                for question in QUESTIONS:
                    answer = await client.generate(request(route, question), metadata=self._next())
                    self.expected[route, question] = answer.text
                    self.sent.append(Sent(time.monotonic(), ended=time.monotonic(), receipt=answer))

    async def run(self) -> None:
        """Until `stop`."""
        await asyncio.gather(*(self._stream(random.Random(self.seed + number)) for number in range(self.streams)))

    def stop(self) -> None:
        """Those that are under way are finished."""
        self._stop.set()

    async def _stream(self, draw: random.Random) -> None:
        async with AsyncClient(self.target, timeout=60) as client:
            while not self._stop.is_set():
                one = Sent(time.monotonic())
                self.sent.append(one)
                try:
                    await self._ask(client, draw, one)
                except CallFailed as failure:
                    one.failure = failure
                    await asyncio.sleep(0.1)
                finally:
                    one.ended = time.monotonic()

    async def _ask(self, client: AsyncClient, draw: random.Random, one: Sent) -> None:
        route, question = draw.choice(ROUTES), draw.choice(QUESTIONS)
        abandon = draw.random() < 0.08
        metadata = self._next()
        one.request_id = metadata[0][1]
        events = client.generate_stream(request(route, question), metadata=metadata)
        pieces: list[str] = []
        async for event in events:
            if event.HasField("final"):
                one.receipt = event.final
                one.wrong = "".join(pieces) != self.expected[route, question]
                continue
            one.first = one.first or time.monotonic()
            pieces.append(event.delta.text)
            if abandon:
                one.abandoned = True
                events.cancel()
                return

    def _next(self) -> tuple[tuple[str, str]]:
        return (("x-request-id", f"load-{next(self._numbers)}"),)


def request(route: str, question: str) -> inference_pb2.GenerateRequest:
    """The question, to the route."""
    return inference_pb2.GenerateRequest(route=route, messages=[inference_pb2.Message(role="user", content=question)])
