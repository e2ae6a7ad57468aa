"""Several load generators, which ask one server together, and what they measured as one measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.measuring.workload import PLAIN_ROUTE
from benchmarks.paced.layouts import FRONT_END, Layout
from benchmarks.path.load.closed_loop import WARM_UP
from benchmarks.path.load.worker import Worker

LOAD, OTHERS = "load generators", "others"
STREAMS_EACH = 256
AT_LEAST = 2  # load generators
TRIES = 3
ALIKE = 1.1  # how much longer the longest window may be than the shortest


@dataclass(frozen=True, slots=True)
class Asked:
    """`streams` closed loops that start over `stagger` seconds, with a connection for `streams_each` of them, and then
    a window of so many seconds."""

    streams: int
    streams_each: int
    seconds: float
    stagger: float


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured at once. `cores`: seconds of processor a second, by kind of process. `late`: of each front end,
    the event loop's lag in seconds that one look of a hundred exceeds."""

    tokens_per_second: float
    cores: Mapping[str, float]
    answers: int
    cancelled: int
    first_ms: Sequence[float]
    gaps_ms: Sequence[float]
    outside_ms: Sequence[float]
    connections: Sequence[int]
    late: Sequence[float]

    def cost(self, kind: str) -> float:
        """Seconds of processor for 1,000 tokens, of all processes whose kind begins like this."""
        return 1000 * sum(used for name, used in self.cores.items() if name.startswith(kind)) / self.tokens_per_second

    def costs(self) -> list[float]:
        """Of each front end, for 1,000 tokens of all of them."""
        used = [cores for name, cores in self.cores.items() if name.startswith(FRONT_END)]
        return [1000 * one / self.tokens_per_second for one in used]


@contextmanager
def loaders(folder: Path, streams: int) -> Iterator[list[Worker]]:
    """As many as so many streams need at most."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Worker("benchmarks.path.load", [str(folder)], folder / f"load-{number}.log"))
            for number in range(_number(streams))
        ]


def measure(layout: Layout, workers: Sequence[Worker], asked: Asked) -> Window:
    """A window. RuntimeError if the load generators' windows do not come together: one in which no request was sent
    and answered goes on for longer (`closed_loop.measure`)."""
    for _ in range(TRIES):
        window = _measure(layout, workers[: _number(asked.streams)], asked)
        if window is not None:
            return window
        asked = replace(asked, seconds=2 * asked.seconds)
    raise RuntimeError("no request was sent and answered within a window: give --seconds")


def _number(streams: int) -> int:
    return min(streams, max(AT_LEAST, streams // STREAMS_EACH))


def _measure(layout: Layout, workers: Sequence[Worker], asked: Asked) -> Window | None:
    processes = {**layout.processes, LOAD: [worker.pid for worker in workers]}
    shares = [asked.streams // len(workers) + (one < asked.streams % len(workers)) for one in range(len(workers))]

    def ask(number: int) -> dict[str, Any]:
        connections = -(-shares[number] // asked.streams_each)
        target = {"trivet": layout.address, "route": PLAIN_ROUTE, "connections": connections, "again": True}
        told = {"streams": shares[number], "offset": number * STREAMS_EACH, "processes": processes}
        window = {"seconds": asked.seconds, "stagger": asked.stagger}
        return workers[number].ask(do="measure", target=target, **window, **told)

    with ThreadPoolExecutor(len(workers)) as pool:
        running = [pool.submit(ask, number) for number in range(len(workers))]
        time.sleep(asked.stagger + WARM_UP)
        before = layout.lags()
        time.sleep(asked.seconds / 2)
        connections = layout.connections()
        time.sleep(asked.seconds / 2)
        after = layout.lags()
        cells = [one.result() for one in running]
    if max(cell["seconds"] for cell in cells) > ALIKE * min(cell["seconds"] for cell in cells):
        return None
    return combined(cells, connections, [late(*both) for both in zip(before, after, strict=True)])


def combined(cells: Sequence[Mapping[str, Any]], connections: Sequence[int], lates: Sequence[float]) -> Window:
    """Load generators' measurements of the same processes in the same seconds: tokens add up, processors do not."""
    kinds = cells[0]["cpu_seconds"]
    cores = {kind: _mean([cell["cpu_seconds"][kind] / cell["seconds"] for cell in cells]) for kind in kinds}
    cores[OTHERS] = _mean([cell["others_cpu_seconds"] / cell["seconds"] for cell in cells])
    return Window(
        tokens_per_second=sum(cell["tokens"] / cell["seconds"] for cell in cells),
        cores=cores,
        answers=sum(cell["requests"] for cell in cells),
        cancelled=sum(cell["cancelled"] for cell in cells),
        first_ms=[first for cell in cells for first in cell["ttft_ms"]],
        gaps_ms=[gap for cell in cells for gap in cell["gaps_ms"]],
        outside_ms=[outside for cell in cells for outside in cell["outside_ms"]],
        connections=connections,
        late=lates,
    )


def late(before: Mapping[float, float], after: Mapping[float, float]) -> float:
    """The smallest of the buckets' bounds that 99 of 100 looks in between kept to."""
    looks = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    return min(bound for bound, count in looks.items() if count >= 0.99 * looks[float("inf")])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
