"""The request path: the three systems side by side."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from benchmarks.measuring.servers import VllmServer, engine_environment, process_groups
from benchmarks.measuring.workload import PLAIN_ROUTE
from benchmarks.path.load.worker import Worker
from benchmarks.path.parts import Plan, Stand

BARE, TRIVET, VLLM = "bare", "trivet", "vllm"
SYSTEMS = (BARE, TRIVET, VLLM)
STRIDE = 400  # prompts between the beginnings of two windows


def measure_path(plan: Plan, trivet: Stand) -> dict[str, Any]:
    """The systems in turn, all numbers of streams, `rounds` times."""
    cells: list[dict[str, Any]] = []
    with _Systems(plan, trivet) as systems:
        systems.expect_same_text()
        for turn in range(plan.rounds):
            order = SYSTEMS[turn % len(SYSTEMS) :] + SYSTEMS[: turn % len(SYSTEMS)]
            for number, streams in enumerate(plan.streams):
                offset = STRIDE * (turn * len(plan.streams) + number)
                for system in order:
                    cell = plan.patience.measure(partial(systems.measure, system, streams, offset))
                    cells.append({"round": turn, "system": system, "streams": streams, **cell})
                    speed = f"{cell['tokens'] / cell['seconds']:,.0f} tokens/s"
                    plan.progress(f"round {turn + 1}/{plan.rounds}, {streams:2} streams, {system}: {speed}")
    return {"cells": cells}


class _Systems:
    """All three, running."""

    def __init__(self, plan: Plan, trivet: Stand) -> None:
        self._plan = plan
        self._trivet = trivet
        self._stack = ExitStack()

    def __enter__(self) -> _Systems:
        workload, progress = self._plan.workload, self._plan.progress
        folder = workload.folder
        with ExitStack() as stack:
            bare = Worker("benchmarks.path.bare_engine", [str(folder)], folder / "bare.log", engine_environment(folder))
            self._bare = stack.enter_context(bare)
            self._described = bare.ask(do="describe")
            progress("bare AsyncLLM is ready")
            self._vllm = stack.enter_context(VllmServer(workload, self._plan.stream_interval))
            progress("vLLM's server is ready")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def measure(self, system: str, streams: int, offset: int) -> dict[str, Any]:
        """One window."""
        command = {"do": "measure", "streams": streams, "seconds": self._plan.seconds, "offset": offset}
        if system == BARE:
            processes = {"front": [self._bare.pid], "engine": self._described["engine"]}
            return self._bare.ask(**command, processes=processes)
        server = self._trivet.server if system == TRIVET else self._vllm
        load = self._trivet.load
        processes = {**process_groups(server.pid), "load": [load.pid]}
        return load.ask(**command, target=self._target(system), processes=processes)

    def expect_same_text(self) -> None:
        """The same prompt gets the same answer everywhere, or they would not do the same work."""
        for system in (TRIVET, VLLM):
            other = self._trivet.load.ask(do="one", target=self._target(system))
            if (other["text"], other["tokens"]) != (self._described["text"], self._described["tokens"]):
                raise RuntimeError(f"the systems do not answer alike: {self._described} and {system}: {other}")

    def _target(self, system: str) -> dict[str, Any]:
        if system == TRIVET:
            return self._trivet.target(PLAIN_ROUTE)
        return {"vllm": [self._vllm.host, self._vllm.port]}
