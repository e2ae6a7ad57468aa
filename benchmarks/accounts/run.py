"""One run: a server, requests of every kind, outages meanwhile, and then every account set against every other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accounts import agreement
from benchmarks.accounts.agreement import Samples, samples
from benchmarks.accounts.traffic import Traffic, target_of
from benchmarks.accounts.world import HOURLY, SHEET, write_config
from benchmarks.measuring.processes import command_line, descendants
from trivet.api.v1 import receipt_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

PATIENCE = 300.0  # seconds
STILL = 4  # times in a row that the counters are the same, half a second apart
OUTAGE = 3.0  # seconds
INVARIANT = Path(__file__).with_name("invariant.py")


@dataclass
class Result:
    """What there was, and what differs."""

    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    sums: dict[str, Any] = field(default_factory=dict)
    kills: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    invariant: str = ""


class Run:
    """One server and its engines' counters over their lives."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self.result = Result()
        self.traffic = Traffic(server, seed)
        self._server = server
        self._of_the_dead: Counter[tuple[str, str]] = Counter()

    def go(self, number: int) -> None:
        """All the requests, in five parts: undisturbed, with each engine killed, with the search away, undisturbed."""
        self._wait_for_rollouts()
        part = number // 5
        asyncio.run(self._beside(part))
        asyncio.run(self._beside(part, lambda: self._kill(HOURLY)))
        asyncio.run(self._beside(part, self._search_away))
        asyncio.run(self._beside(part, lambda: self._kill(SHEET)))
        asyncio.run(self._beside(number - 4 * part))

    def page(self) -> Samples:
        """/metrics as it is now."""
        with urllib.request.urlopen(f"http://{self._server.metrics_address}/metrics", timeout=60) as answer:
            return samples(answer.read().decode())

    def still(self) -> Samples:
        """/metrics once nothing changes in it."""
        deadline, times, last = time.monotonic() + PATIENCE, 0, None
        while times < STILL:
            assert time.monotonic() < deadline, "the counters do not come to rest"
            page = self.page()
            now = {key: value for key, value in page.items() if "tokens_total" in key[0] or "requests_total" in key[0]}
            times = times + 1 if now == last else 0
            last = now
            time.sleep(0.5)
        return page

    def settle(self) -> Samples:
        """/metrics once nothing runs any more."""
        deadline = time.monotonic() + PATIENCE
        while self.page()["trivet_requests_in_flight", frozenset()]:
            assert time.monotonic() < deadline, "requests are in flight for ever"
            time.sleep(0.5)
        return self.still()

    def fetch(self) -> dict[str, receipt_pb2.Receipt]:
        """Every receipt that GetReceipt gives to the tenant whose request it was."""
        found = {}
        for tenant in ("acme", "brook", "few"):
            with Client(target_of(self._server, tenant), timeout=60) as client:
                for one in self.traffic.seen:
                    if one.tenant == tenant:
                        try:
                            found[one.id] = client.get_receipt(one.id).receipt
                        except CallFailed as failure:
                            if failure.code != "NOT_FOUND":
                                raise
        return found

    def compare(self, found: Samples, fetched: dict[str, receipt_pb2.Receipt], report: dict[str, Any]) -> None:
        """Every account against every other, once the server has stopped."""
        result, lines = self.result, agreement.read_log(self._server.data_dir)
        asked = [line for line in lines if not line.get("shadow")]
        engines = agreement.engine_tokens(found) + self._of_the_dead
        result.problems += agreement.clients_and_log(self.traffic.seen, fetched, asked)
        result.problems += agreement.log_and_metrics(lines, found)
        result.problems += agreement.report_and_log(report, lines, found)
        result.problems += agreement.same("engine's tokens", engines, agreement.trivet_tokens(found))
        checked = subprocess.run(
            [sys.executable, INVARIANT, self._server.data_dir], capture_output=True, text=True, check=False
        )
        result.invariant = checked.stdout
        result.problems += [f"the invariant: {checked.stdout}{checked.stderr}"] if checked.returncode else []
        result.kinds.update(one.kind for one in self.traffic.seen)
        result.codes.update(line["code"] for line in asked)
        result.sums = {
            "requests": len(self.traffic.seen), "receipts": len(asked), "copies": len(lines) - len(asked),
            "receipts that clients were told": sum(one.receipt is not None for one in self.traffic.seen),
            "receipts that GetReceipt gave": len(fetched),
            "degraded": sum(bool(line.get("degraded")) for line in asked),
            "with cached tokens": sum(bool(line.get("cached_tokens")) for line in asked),
            "with an adapter": sum(bool(line.get("adapter")) for line in asked),
            "cut short after output": sum(line["code"] != "OK" and line.get("output_tokens", 0) > 0 for line in asked),
            "nano-USD": report["total"]["cost"]["total"],
            **{f"{backend}: {kind} tokens": count for (backend, kind), count in sorted(engines.items())},
        }  # fmt: skip

    async def _beside(self, number: int, disturb: Callable[[], None] | None = None) -> None:
        """So many requests, and an outage while the first half of them runs."""
        sending = asyncio.create_task(self.traffic.send(number))
        if disturb is not None:
            begin = len(self.traffic.seen)
            while len(self.traffic.seen) < begin + number // 3 and not sending.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.to_thread(disturb)
        await sending

    def _kill(self, backend: str) -> None:
        """Hold the engine, take its counters once nothing moves, and kill it."""
        pid = self._engine(backend)
        os.kill(pid, signal.SIGSTOP)
        before = agreement.engine_tokens(self._still_of(backend))
        os.kill(pid, signal.SIGKILL)
        for key, count in before.items():
            if key[0] == backend:
                self._of_the_dead[key] += count
        self.result.kills.append(f"{backend} after {before[backend, 'output']} output tokens")
        deadline = time.monotonic() + PATIENCE
        restarts = ("trivet_engine_restarts_total", frozenset({("backend", backend)}))
        while not self.page()[restarts] or not self.page()["trivet_engine_up", restarts[1]]:
            assert time.monotonic() < deadline, f"the engine {backend} did not come back"
            time.sleep(0.5)

    def _still_of(self, backend: str) -> Samples:
        times, last = 0, None
        while times < STILL:
            page = self.page()
            now = {key: n for key, n in agreement.engine_tokens(page).items() if key[0] == backend}
            times = times + 1 if now == last else 0
            last = now
            time.sleep(0.4)
        return page

    def _engine(self, backend: str) -> int:
        log = self._server.data_dir / "logs" / f"engine-{backend}.log"
        for pid in descendants(self._server.pid):
            if Path(f"/proc/{pid}/fd/1").readlink() == log and "trivet.vector" not in command_line(pid):
                return pid
        raise LookupError(f"no process of the engine {backend}")

    def _search_away(self) -> None:
        """It hangs, and then it is killed."""
        pid = next(pid for pid in descendants(self._server.pid) if "trivet.vector" in command_line(pid))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(OUTAGE)
        os.kill(pid, signal.SIGKILL)

    def _wait_for_rollouts(self) -> None:
        wanted = {
            "mirrored": rollout_pb2.ROLLOUT_STATE_SHADOW, "copied": rollout_pb2.ROLLOUT_STATE_SHADOW,
            "canary": rollout_pb2.ROLLOUT_STATE_CANARY,
        }  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        with Client(target_of(self._server, "operator"), timeout=60) as client:
            for route, state in wanted.items():
                while client.rollouts.get(route).state != state:
                    assert time.monotonic() < deadline, f"the rollout of {route} does not begin"
                    time.sleep(0.2)


def measure(folder: Path, number: int, seed: int) -> Result:
    """So many requests against a server of its own, with all its files in `folder`."""
    config = write_config(folder)
    with ServerProcess(config, folder / "data", output=folder / "server.log") as server:
        with Client(target_of(server, "operator"), timeout=600) as client:
            list(client.build_index("handbook"))
        run = Run(server, seed)
        run.go(number)
        found = run.settle()
        fetched = run.fetch()
    command = [sys.executable, "-m", "trivet.cli", "cost", "--config", str(config), "--data-dir", str(server.data_dir)]
    said = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    run.compare(found, fetched, json.loads(said))
    return run.result
