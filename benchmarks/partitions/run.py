"""One run: what is done to nodes, gateways and the network between them, and what it costs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.fleet.nodes import Node
from benchmarks.fleet.run import Event
from benchmarks.fleet.served import scrape
from benchmarks.partitions.gateways import KINDS, Gateway
from benchmarks.partitions.hosts import Host
from benchmarks.partitions.load import Clients
from trivet.client import CallFailed, Client

RECOVERY_SECONDS = 400.0  # an engine's start, on a busy machine
POLL = 0.03
HELD = 3.0  # seconds that a cut goes on after it was noticed
HALTED = 30.0  # seconds that a gateway is stopped: longer than clients' pings take to find out
SWAP_EVERY = 4.0
STORE_SECONDS = 10.0
# After these one of the accounts lacks something, or has what was computed for nobody.
BLURRED = {"stop", "both", "to", "fro", "node", "gateway", "halt"}


class Run:
    """`problems` is what must not happen."""

    def __init__(
        self, nodes: list[Node], hosts: list[Host], gateways: list[Gateway], clients: Clients, state: str
    ) -> None:
        self.events: list[Event] = []
        self.problems: list[str] = []
        self.accounts: dict[str, Any] = {}
        self.starts: list[tuple[float, float]] = []  # of nodes: seconds until it served, and until it was asked
        self.swaps: Counter[str] = Counter()
        self.transactions = 0.0  # of PostgreSQL, for a gateway and second, while all is well
        self._state = state
        self._nodes, self._hosts, self._gateways, self._clients = nodes, hosts, gateways, clients
        self._retired: Counter[str] = Counter()
        self._away: set[str] = set()  # gateways that are being replaced

    async def go(self, scenarios: list[str], pause: float) -> None:
        """Each scenario, with time between them; then the accounts."""
        await self._until(self._all_ready)
        await self._learn()
        asking = asyncio.create_task(self._clients.run())
        try:
            self.transactions = await asyncio.to_thread(self._store_load)
            for name in scenarios:
                await asyncio.sleep(pause)
                await getattr(self, f"_{name}")()
                print(self.events[-1], file=sys.stderr, flush=True)
            await asyncio.sleep(pause)
        finally:
            self._clients.stop()
            await asking
        await self._until(self._idle)
        self._judge(bool(BLURRED & set(scenarios)))

    async def _learn(self) -> None:
        await self._clients.learn(("base", "json", "sorter"))
        for sorter in ("1", "2"):
            for gateway in self._gateways:
                gateway.choose(sorter)
                await asyncio.to_thread(gateway.reload)
            if sorter == "1":
                await self._clients.learn(("sorter",))

    # What happens to one node.

    async def _core(self) -> None:
        """SIGKILL for an engine's process: its node starts it again."""
        node = self._nodes[0]
        event = await self._measured("engine killed", lambda: os.kill(node.engine_pid, signal.SIGKILL))
        await self._recovered(event)

    async def _node(self) -> None:
        """SIGKILL for a node's process; somebody starts it again."""
        node = self._nodes[0]
        self._retired.update(node.tally())
        event = await self._measured("node killed", node.kill)
        await self._started(node)
        await self._recovered(event)

    async def _stop(self) -> None:
        """SIGSTOP: connections stay, and nothing comes."""
        pids = (self._nodes[0].pid, self._nodes[0].engine_pid)
        event = await self._measured("node stopped", lambda: _signal(pids, signal.SIGSTOP))
        await asyncio.sleep(HELD)
        _signal(pids, signal.SIGCONT)
        await self._recovered(event)

    async def _both(self) -> None:
        await self._cut("packets dropped both ways", to=True, away=True)

    async def _to(self) -> None:
        await self._cut("packets to the node dropped", to=True, away=False)

    async def _fro(self) -> None:
        await self._cut("packets from the node dropped", to=False, away=True)

    async def _cut(self, name: str, *, to: bool, away: bool) -> None:
        host = self._hosts[0]
        event = await self._measured(name, lambda: host.cut(to=to, away=away))
        await asyncio.sleep(HELD)
        host.mend(to=to, away=away)
        await self._recovered(event)

    async def _measured(self, name: str, act: Callable[[], None]) -> Event:
        event = Event(name, in_flight=self._running(self._nodes[0]))
        self.events.append(event)
        retried = self._retried()
        begun = time.monotonic()
        act()
        await asyncio.gather(*(self._until(lambda one=one: self._sees_less(one)) for one in self._gateways))  # type: ignore[misc]
        event.noticed = time.monotonic() - begun
        await asyncio.sleep(3.0)
        event.retried = self._retried() - retried
        self._charge(event, begun, begun + event.noticed)
        return event

    async def _recovered(self, event: Event) -> None:
        begun = time.monotonic()
        await self._until(self._all_ready)
        event.back = time.monotonic() - begun

    async def _started(self, node: Node) -> None:
        begun = time.monotonic()
        node.start()
        served = await asyncio.to_thread(node.wait)
        await self._until(self._all_ready)
        self.starts.append((served - begun, time.monotonic() - begun))

    # What happens to a gateway, and to all of them.

    async def _gateway(self) -> None:
        """SIGKILL for a gateway; its clients go to the other one."""
        gateway = self._gateways[0]
        gateway.retire()
        event = Event("gateway killed")
        self.events.append(event)
        event.in_flight = int(scrape(gateway.metrics).get(("trivet_requests_in_flight", ""), 0))
        begun = time.monotonic()
        self._away.add(gateway.name)
        gateway.kill()
        await asyncio.sleep(3.0)
        self._charge(event, begun, begun + 1.0)
        gateway.start()
        await asyncio.to_thread(gateway.wait)
        self._away.discard(gateway.name)
        await self._until(self._all_ready)
        event.back = time.monotonic() - begun

    async def _halt(self) -> None:
        """SIGSTOP for a gateway: its connections stay open, and clients find out by their pings."""
        gateway = self._gateways[0]
        event = Event("gateway stopped")
        self.events.append(event)
        event.in_flight = int(scrape(gateway.metrics).get(("trivet_requests_in_flight", ""), 0))
        waiting = [one for one in self._clients.sent if not one.ended]
        begun = time.monotonic()
        self._away.add(gateway.name)
        _signal((gateway.pid,), signal.SIGSTOP)
        await self._until(lambda: all(one.ended for one in waiting))
        event.noticed = time.monotonic() - begun
        await asyncio.sleep(max(HELD, HALTED - event.noticed))
        self._charge(event, begun, time.monotonic())
        _signal((gateway.pid,), signal.SIGCONT)
        self._away.discard(gateway.name)
        await self._recovered(event)

    async def _roll(self) -> None:
        """Each node and each gateway in turn is replaced, while adapters are swapped. No request may fail."""
        begun = time.monotonic()
        event = Event("nodes and gateways replaced one after the other")
        self.events.append(event)
        swapping = asyncio.create_task(self._swap())
        for node in self._nodes:
            with Client(self._gateways[0].target, timeout=30) as client:
                await asyncio.to_thread(client.drain_engine_node, node.address, True)
            await self._until(lambda node=node: self._running(node) == 0)  # type: ignore[misc]
            self._retired.update(node.tally())
            await asyncio.to_thread(node.stop)
            await self._started(node)
        for gateway in self._gateways:
            self._away.add(gateway.name)
            gateway.retire()
            await asyncio.to_thread(gateway.stop)
            gateway.start()
            await asyncio.to_thread(gateway.wait)
            self._away.discard(gateway.name)
            await self._until(self._all_ready)
        swapping.cancel()
        await asyncio.gather(swapping, return_exceptions=True)
        event.back = time.monotonic() - begun
        self._charge(event, begun, begun, allowed=False)

    async def _swap(self) -> None:
        """The sorter's adapter in the other version, by a reload of each gateway, again and again."""
        for number in range(10_000):
            await asyncio.sleep(SWAP_EVERY)
            for gateway in self._gateways:
                if gateway.name in self._away:
                    continue
                gateway.choose("12"[number % 2])
                try:
                    await asyncio.to_thread(gateway.reload)
                    self.swaps["swapped"] += 1
                except CallFailed as problem:
                    self.swaps[f"refused: {problem.code}"] += 1

    # What came of it.

    def _charge(self, event: Event, begun: float, noticed: float, *, allowed: bool = True) -> None:
        """Set each failure since then against it: only what had text may be lost, and only until it was noticed."""
        for one in self._clients.sent:
            if not one.failure or one.ended < begun:
                continue
            event.lost += 1
            if not allowed or not one.failure.startswith("UNAVAILABLE"):
                event.unexplained.append(f"failed with {one.failure}")
            elif one.first is None:
                event.unexplained.append(f"lost before its first text: {one.failure}")
            elif one.begun > noticed:
                event.unexplained.append(f"began after it was noticed: {one.failure}")
        self.problems += [f"{event.name}: {told}" for told in event.unexplained]

    def _judge(self, blurred: bool) -> None:
        sent = self._clients.sent
        self.problems += [f"wrong answer: {one.wrong}" for one in sent if one.wrong]
        charged, failed = sum(event.lost for event in self.events), [one for one in sent if one.failure]
        if len(failed) != charged:
            self.problems.append(f"{len(failed)} failures, of which {charged} are explained: {failed[-1].failure}")
        nodes, receipts = self._retired.copy(), Counter[str]()
        for node in self._nodes:
            nodes.update({name: int(value) for name, value in node.tally().items()})
        for gateway in self._gateways:
            receipts.update(gateway.tokens())
        theirs = {kind: int(nodes[kind]) for kind in KINDS}
        mine = {kind: receipts[kind] for kind in KINDS}
        answers = sum(one.answered for one in sent) + receipts["primings"]
        abandoned = sum(one.abandoned for one in sent)
        self.accounts = {
            "requests": len(sent),
            "tokens of the nodes": theirs,
            "tokens of receipts and warm-ups": mine,
            "requests finished at the nodes": int(nodes["finished"]),
            "answers and primings": answers,
            "abandoned by clients": abandoned,
        }
        if blurred:
            return  # what a lost node computes for nobody, and what is killed had counted last, is in one account alone
        if theirs != mine:
            self.problems.append(f"the nodes computed {theirs}, receipts and warm-ups have {mine}")
        if not answers <= nodes["finished"] <= answers + abandoned:
            self.problems.append(f"{nodes['finished']:.0f} requests were finished, for {answers} answers and primings")

    # What is seen.

    def _store_load(self) -> float:
        before, began = _transactions(self._state), time.monotonic()
        time.sleep(STORE_SECONDS)
        return (_transactions(self._state) - before) / (time.monotonic() - began) / len(self._gateways)

    def _running(self, node: Node) -> int:
        return int(scrape(node.metrics).get(("trivet_requests_in_flight", ""), 0))

    def _idle(self) -> bool:
        return all(self._running(node) == 0 for node in self._nodes)

    def _retried(self) -> int:
        return sum(gateway.retries() for gateway in self._gateways if gateway.name not in self._away)

    def _sees_less(self, gateway: Gateway) -> bool:
        return gateway.ready_nodes() < len(self._nodes)

    def _all_ready(self) -> bool:
        return all(gateway.ready_nodes() == len(self._nodes) for gateway in self._gateways)

    async def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS
        while True:
            with suppress(OSError):  # it does not answer yet, or just now
                if await asyncio.to_thread(condition):
                    return
            assert time.monotonic() < deadline, "it took too long"
            await asyncio.sleep(POLL)


def _transactions(state: str) -> int:
    with psycopg.connect(state, autocommit=True) as connection:
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        return int(row[0])


def _signal(pids: tuple[int, ...], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def measure(folder: Path, state: str, scenarios: list[str], count: int, streams: int, pause: float, seed: int) -> Run:
    """`count` nodes and two gateways, each on a host of its own, started for it over the PostgreSQL at `state`."""
    with ExitStack() as stack:
        hosts = [Host(10 + number, stack) for number in range(count)]
        nodes = [Node(folder, number + 1, 16, host.address, host.entered) for number, host in enumerate(hosts)]
        gateways = [Gateway(folder, number, Host(200 + number, stack), nodes, state) for number in (1, 2)]
        for one in (*nodes, *gateways):
            stack.callback(one.stop)
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()
        for gateway in gateways:
            gateway.start()
        for gateway in gateways:
            gateway.wait()
        run = Run(nodes, hosts, gateways, Clients([one.target for one in gateways], streams, seed), state)
        asyncio.run(run.go(scenarios, pause))
        return run
