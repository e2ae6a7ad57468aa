"""A closed loop: each stream sends its next request when the last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measuring.cpu_time import cpu_of_groups, machine_seconds
from benchmarks.measuring.workload import Prompt

STAGGER = 1.0  # seconds over which the streams start, so that they do not go on in step
MOST_TIMES = 5  # as long as was asked for
WARM_UP = 0.5  # seconds after that which are not measured


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered request. Times: `time.perf_counter()`. `receipt` is Trivet's, as a plain mapping. `gaps`: seconds
    between its messages, where the client tells them. `cancelled`: how often it had to be sent again."""

    sent: float
    first: float
    end: float
    tokens: int
    cached_tokens: int | None
    text: str = ""
    receipt: Mapping[str, Any] = field(default_factory=dict)
    gaps: Sequence[float] = ()
    cancelled: int = 0

    def tokens_until(self, moment: float) -> float:
        """How many tokens it had by then, if they came evenly from the first to the last."""
        if moment < self.first:
            return 0.0
        if moment >= self.end:
            return float(self.tokens)
        return 1 + (self.tokens - 1) * (moment - self.first) / (self.end - self.first)


Send = Callable[[Prompt], Awaitable[Answer]]


class ClosedLoop:
    """`streams` streams that send `prompts` in turn, from `start` to `stop`; they start over `stagger` seconds."""

    def __init__(self, send: Send, prompts: Iterator[Prompt], streams: int, stagger: float = STAGGER) -> None:
        self.answers: list[Answer] = []
        self._send = send
        self._prompts = prompts
        self._streams = streams
        self._stagger = stagger
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when all streams are under way. Raises what a request failed with."""
        delays = [i * self._stagger / self._streams for i in range(self._streams)]
        self._tasks = [asyncio.create_task(self._stream(delay)) for delay in delays]
        await self.run_for(self._stagger + WARM_UP)

    async def run_for(self, seconds: float) -> None:
        """Let the streams go on. Raises what a request failed with."""
        done, _ = await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Send nothing new and wait for what is under way."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _stream(self, delay: float) -> None:
        await asyncio.sleep(delay)
        while not self._stopping:
            self.answers.append(await self._send(next(self._prompts)))


async def measure(loop: ClosedLoop, seconds: float, processes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Run a loop and look at a window of it; `processes`: groups whose CPU time is taken at the window's ends.

    A request that lies across an end of the window counts with the tokens that it had inside. On a machine that is busy
    with other work the window is as many times as long, `MOST_TIMES` at most, until a request was sent and answered in
    it. Raises RuntimeError if none was.

    `outside_ms` of the result: how much longer the client waited for an answer than its receipt says.
    """
    await loop.start()
    begin, cpu_before, busy_before = time.perf_counter(), cpu_of_groups(processes), machine_seconds()
    for _ in range(MOST_TIMES):
        await loop.run_for(seconds)
        if any(begin <= answer.sent for answer in loop.answers):
            break
    else:
        raise RuntimeError(f"no request was answered within {MOST_TIMES * seconds:g} s: expected longer windows")
    end, cpu_after, busy_after = time.perf_counter(), cpu_of_groups(processes), machine_seconds()
    await loop.stop()
    tokens = sum(answer.tokens_until(end) - answer.tokens_until(begin) for answer in loop.answers)
    inside = [answer for answer in loop.answers if begin <= answer.sent and answer.first <= end]
    whole = [answer for answer in inside if answer.end <= end]
    cpu = {name: cpu_after[name] - cpu_before[name] for name in processes}
    return {
        "seconds": end - begin,
        "tokens": tokens,
        "requests": len(whole),
        "cancelled": sum(answer.cancelled for answer in whole),
        "ttft_ms": [1000 * (answer.first - answer.sent) for answer in inside],
        "cpu_seconds": cpu,
        "others_cpu_seconds": busy_after - busy_before - sum(cpu.values()),
        "output_tokens": sorted({answer.tokens for answer in loop.answers}),
        "cached_tokens": [answer.cached_tokens for answer in whole if answer.cached_tokens is not None],
        "outside_ms": [
            1000 * (answer.end - answer.sent) - answer.receipt["total_ms"]
            for answer in whole
            if "total_ms" in answer.receipt
        ],
        "gaps_ms": [1000 * gap for answer in whole for gap in answer.gaps],
        "receipts": [dict(answer.receipt) for answer in whole if answer.receipt],
    }
