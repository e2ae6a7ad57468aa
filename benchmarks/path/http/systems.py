"""The systems side by side: Trivet's two doors, vLLM's server, and LiteLLM in front of vLLM's server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.measuring.processes import descendants
from benchmarks.measuring.servers import TrivetServer, VllmServer, process_groups
from benchmarks.measuring.workload import MODEL_NAME, PLAIN_ROUTE, Workload
from benchmarks.path.http.litellm import KEY, LiteLlmProxy
from benchmarks.path.load.worker import Worker
from benchmarks.path.patience import Patience
from benchmarks.path.plan import WindowPlan

GRPC, HTTP, VLLM, LITELLM = "grpc", "http", "vllm", "litellm"
SYSTEMS = (GRPC, HTTP, VLLM, LITELLM)
STRIDE = 400  # prompts between the beginnings of two windows


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPlan(WindowPlan):
    """What to run."""

    patience: Patience


def measure_http(plan: HttpPlan) -> list[dict[str, Any]]:
    """Windows: the systems in turn, all numbers of streams, `rounds` times, in an order that changes by round."""
    cells: list[dict[str, Any]] = []
    with _running(plan) as systems:
        systems.expect_same_text()
        for turn in range(plan.rounds):
            order = SYSTEMS[turn % len(SYSTEMS) :] + SYSTEMS[: turn % len(SYSTEMS)]
            for number, streams in enumerate(plan.streams):
                offset = STRIDE * (turn * len(plan.streams) + number)
                for system in order:
                    window = partial(systems.measure, system, streams, offset, plan.seconds)
                    cell = plan.patience.measure(window)
                    cells.append({"round": turn, "system": system, "streams": streams, **cell})
                    speed = f"{cell['tokens'] / cell['seconds']:,.0f} tokens/s"
                    plan.progress(f"round {turn + 1}/{plan.rounds}, {streams:2} streams, {system}: {speed}")
    return cells


@contextmanager
def _running(plan: HttpPlan) -> Iterator[_Systems]:
    folder = plan.workload.folder
    with TrivetServer(plan.workload) as trivet:
        plan.progress("Trivet is ready")
        with VllmServer(plan.workload) as vllm:
            plan.progress("vLLM's server is ready")
            with (
                LiteLlmProxy(folder, f"{vllm.host}:{vllm.port}") as litellm,
                Worker("benchmarks.path.load", [str(folder)], folder / "load.log") as load,
            ):
                plan.progress("LiteLLM is ready")
                yield _Systems(plan.workload, trivet, vllm, litellm, load)


@dataclass(frozen=True, slots=True)
class _Systems:
    workload: Workload
    trivet: TrivetServer
    vllm: VllmServer
    litellm: LiteLlmProxy
    load: Worker

    def measure(self, system: str, streams: int, offset: int, seconds: float) -> dict[str, Any]:
        """One window."""
        processes = {**self._processes(system), "load": [self.load.pid]}
        return self.load.ask(
            do="measure", target=self._target(system), streams=streams, seconds=seconds, offset=offset,
            processes=processes,
        )  # fmt: skip

    def expect_same_text(self) -> None:
        """The same prompt gets the same answer everywhere, or they would not do the same work."""
        told = {system: self.load.ask(do="one", target=self._target(system)) for system in SYSTEMS}
        if any(answer != told[GRPC] for answer in told.values()):
            raise RuntimeError(f"the systems do not answer alike: {told}")

    def _processes(self, system: str) -> dict[str, list[int]]:
        if system in {GRPC, HTTP}:
            return process_groups(self.trivet.pid)
        groups = process_groups(self.vllm.pid)
        if system == LITELLM:
            groups["proxy"] = [self.litellm.pid, *descendants(self.litellm.pid)]
        return groups

    def _target(self, system: str) -> dict[str, Any]:
        if system == GRPC:
            return {"trivet": self.trivet.target.address, "route": PLAIN_ROUTE}
        if system == HTTP:
            host, _, port = self.trivet.http_address.rpartition(":")
            return {"chat": {"host": host, "port": int(port), "model": PLAIN_ROUTE, "turns": []}}
        server, key = (self.vllm, "") if system == VLLM else (self.litellm, KEY)
        turns = self.workload.turns()
        return {"chat": {"host": server.host, "port": server.port, "model": MODEL_NAME, "turns": turns, "key": key}}
