"""The load on a server with adapters: streams that go on beside what is measured, and what each of them saw."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from trivet.api.v1 import inference_pb2
from trivet.client import Client, Target


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer. `ended`: `time.perf_counter()`; `first` (token) and `gaps` between two messages in seconds."""

    route: str
    ended: float
    first: float
    gaps: tuple[float, ...]
    tokens: int
    adapter_wait_ms: float
    gateway_ms: float


def ask(client: Client, route: str, number: int, max_tokens: int) -> Seen:
    """One streamed request with a text of its own, read to its end; raises CallFailed."""
    message = inference_pb2.Message(role="user", content=f"Ticket {number:06d}. What is the fee?")
    request = inference_pb2.GenerateRequest(route=route, messages=[message], max_tokens=max_tokens, temperature=0.0)
    begun = time.perf_counter()
    arrived: list[float] = []
    receipt = None
    for event in client.generate_stream(request):
        if event.HasField("final"):
            receipt = event.final.receipt
        else:
            arrived.append(time.perf_counter())
    assert receipt is not None
    assert receipt.output_tokens == max_tokens, "an answer ended by itself: the streams would not do the same work"
    gaps = tuple(later - earlier for earlier, later in itertools.pairwise(arrived))
    first, ended = arrived[0] - begun, time.perf_counter()
    return Seen(route, ended, first, gaps, receipt.output_tokens, receipt.adapter_wait_ms, receipt.gateway_ms)


@dataclass
class Streams:
    """Closed loops in threads, one per entry of `routes`, from `with` to its end."""

    target: Target
    routes: Sequence[str]
    max_tokens: int
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._go, args=(n, route)) for n, route in enumerate(self.routes)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failed and error is None:
            raise self._failed[0]

    def during(self, seconds: float) -> list[Seen]:
        """The answers that end in the next so many seconds."""
        begun = time.perf_counter()
        time.sleep(seconds)
        return self.between(begun, time.perf_counter())

    def between(self, begun: float, ended: float) -> list[Seen]:
        """The answers that ended in this time."""
        return [one for one in list(self.seen) if begun <= one.ended < ended]

    def _go(self, lane: int, route: str) -> None:
        try:
            with Client(self.target) as client:
                for turn in itertools.count():
                    if self._stop.is_set():
                        return
                    self.seen.append(ask(client, route, 1000 * turn + lane, self.max_tokens))
        except BaseException as problem:
            self._failed.append(problem)
