"""One run: what is done to the nodes, and what it costs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fleet.load import Load
from benchmarks.fleet.nodes import Node, gateway_config
from benchmarks.fleet.served import scrape
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

RECOVERY_SECONDS = 400.0  # an engine's start, on a busy machine
KINDS = ("input_uncached", "input_cached", "output")
LOST_AFTER = 3.0  # the default of a backend of kind remote
POLL = 0.03
STOPPED, KILLED = "node stopped", "node killed"
BLURRED = {STOPPED, KILLED}


@dataclass
class Event:
    """One thing that was done: when it was noticed and over, in seconds from then, and what it cost."""

    name: str
    noticed: float | None = None
    back: float | None = None
    in_flight: int = 0
    lost: int = 0
    retried: int = 0
    unexplained: list[str] = field(default_factory=list)


class Run:
    """`problems` is what must not happen."""

    def __init__(self, nodes: list[Node], server: ServerProcess, load: Load) -> None:
        self.events: list[Event] = []
        self.problems: list[str] = []
        self.accounts: dict[str, Any] = {}
        self._nodes = nodes
        self._server = server
        self._load = load
        self._retired: Counter[str] = Counter()

    async def go(self, scenarios: list[str], pause: float) -> None:
        """Each scenario, with time between them; then the accounts."""
        await self._until(self._all_ready)
        await self._load.learn()
        asking = asyncio.create_task(self._load.run())
        try:
            for name in scenarios:
                await asyncio.sleep(pause)
                await getattr(self, f"_{name}")()
            await asyncio.sleep(pause)
        finally:
            self._load.stop()
            await asking
        self._judge()

    async def _core(self) -> None:
        """SIGKILL for an engine's process: its node starts it again."""
        node = self._nodes[0]
        event = await self._measured("engine killed", node, lambda: os.kill(node.engine_pid, signal.SIGKILL))
        await self._recovered(event)

    async def _roll(self) -> None:
        """Each node in turn: drained, ended, started again. No request may fail."""
        begun = time.monotonic()
        event = Event("nodes replaced one after the other")
        self.events.append(event)
        for node in self._nodes:
            with Client(self._server.target, timeout=30) as client:
                await asyncio.to_thread(client.drain_engine_node, node.address, True)
            await self._until(lambda node=node: self._running(node) == 0)  # type: ignore[misc]
            self._retire(node)
            await asyncio.to_thread(node.stop)
            node.start()
            await asyncio.to_thread(node.wait)
            await self._until(self._all_ready)
        event.back = time.monotonic() - begun
        self._charge(event, begun, time.monotonic(), allowed=0)

    async def _stop(self) -> None:
        """SIGSTOP: connections stay, and nothing comes."""
        node = self._nodes[0]
        pids = (node.pid, node.engine_pid)

        def halt() -> None:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)

        event = await self._measured(STOPPED, node, halt, patience=LOST_AFTER)
        await asyncio.sleep(2.0)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        await self._recovered(event)

    async def _node(self) -> None:
        """SIGKILL for a node's process; somebody starts it again."""
        node = self._nodes[0]
        self._retire(node)
        event = await self._measured(KILLED, node, node.kill)
        node.start()
        await asyncio.to_thread(node.wait)
        await self._recovered(event)

    async def _measured(self, name: str, node: Node, act: Callable[[], None], patience: float = 0.0) -> Event:
        event = Event(name)
        self.events.append(event)
        retried = self._gateway("trivet_fleet_retries_total")
        event.in_flight = self._running(node)
        begun = time.monotonic()
        act()
        await self._until(lambda: not self._all_ready())
        event.noticed = time.monotonic() - begun
        await asyncio.sleep(2.0 + patience)
        event.retried = int(self._gateway("trivet_fleet_retries_total") - retried)
        self._charge(event, begun, begun + event.noticed, allowed=event.in_flight + self._load.streams)
        return event

    async def _recovered(self, event: Event) -> None:
        begun = time.monotonic()
        await self._until(self._all_ready)
        event.back = time.monotonic() - begun

    def _charge(self, event: Event, begun: float, noticed: float, allowed: int) -> None:
        """Set each failure since then against it: only what had text may be lost, and only until it was noticed."""
        for one in self._load.sent:
            if one.failure is None or one.ended < begun:
                continue
            event.lost += 1
            if one.failure.code != "UNAVAILABLE" or one.failure.retry_after is None:
                event.unexplained.append(f"failed with {one.failure}")
            elif one.first is None:
                event.unexplained.append(f"lost before its first text: {one.failure}")
            elif one.begun > noticed:
                event.unexplained.append(f"began after it was noticed: {one.failure}")
        if event.lost > allowed:
            event.unexplained.append(f"{event.lost} lost, {allowed} were in flight there at most")
        self.problems += [f"{event.name}: {told}" for told in event.unexplained]

    def _judge(self) -> None:
        wrong = [one for one in self._load.sent if one.wrong]
        self.problems += [f"{len(wrong)} wrong answers"] if wrong else []
        charged = sum(event.lost for event in self.events)
        failed = [one for one in self._load.sent if one.failure is not None]
        if len(failed) != charged:
            self.problems.append(f"{len(failed)} failures, of which {charged} are explained: {failed[0].failure}")
        nodes = self._retired.copy()
        for node in self._nodes:
            nodes.update(node.tally())
        theirs, mine = {kind: int(nodes[kind]) for kind in KINDS}, self._gateway_tokens()
        answers, abandoned = self._answers(), sum(one.abandoned for one in self._load.sent)
        self.accounts = {
            "tokens of the nodes": theirs,
            "tokens of receipts and warm-ups": mine,
            "requests finished at the nodes": int(nodes["finished"]),
            "answers and primings": answers,
            "abandoned by clients": abandoned,
        }
        if {event.name for event in self.events} & BLURRED:
            return  # what a stopped node computes for nobody, and a killed one's last counts, are in one account alone
        if theirs != mine:
            self.problems.append(f"the nodes computed {theirs}, receipts and warm-ups have {mine}")
        if not answers <= nodes["finished"] <= answers + abandoned:
            self.problems.append(f"{nodes['finished']:.0f} requests were finished, for {answers} answers and primings")

    def _gateway_tokens(self) -> dict[str, int]:
        samples = self._samples()
        found = dict.fromkeys(KINDS, 0)
        for (name, labels), value in samples.items():
            if name in ("trivet_tokens_total", "trivet_warmup_tokens_total"):
                kind = labels.partition('kind="')[2].partition('"')[0]
                found[kind] += int(value)
        return found

    def _answers(self) -> int:
        """Of this gateway: each was finished once, by one node."""
        count = 0.0
        for (name, labels), value in self._samples().items():
            primed = name == "trivet_warmup_tokens_total" and 'kind="output"' in labels
            if primed or (name == "trivet_requests_total" and 'code="OK"' in labels):
                count += value
        return int(count)

    def _retire(self, node: Node) -> None:
        self._retired.update(node.tally())

    def _running(self, node: Node) -> int:
        return int(scrape(node.metrics).get(("trivet_requests_in_flight", ""), 0))

    def _all_ready(self) -> bool:
        ready = self._gateway("trivet_fleet_nodes", 'state="ready"')
        return int(ready) == len(self._nodes)

    def _gateway(self, name: str, label: str = "") -> float:
        return sum(value for (found, labels), value in self._samples().items() if found == name and label in labels)

    def _samples(self) -> Mapping[tuple[str, str], float]:
        return scrape(self._server.metrics_address, 20.0)

    async def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < deadline, "it took too long"
            await asyncio.sleep(POLL)


def measure(folder: Path, scenarios: list[str], streams: int = 8, pause: float = 4.0, seed: int = 1) -> Run:
    """Two nodes and a gateway, started for it."""
    nodes = [Node(folder, number) for number in (1, 2)]
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()
        config = gateway_config(folder / "gateway", nodes)
        with ServerProcess(config, folder / "gateway" / "data", output=folder / "gateway" / "log") as server:
            run = Run(nodes, server, Load(server.target, streams, seed))
            asyncio.run(run.go(scenarios, pause))
            return run
    finally:
        for node in nodes:
            node.stop()
