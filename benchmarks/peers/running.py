"""All systems up at once, and measured in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring.processes import descendants
from benchmarks.measuring.servers import HttpServer, TrivetServer, VllmServer, engine_environment, process_groups
from benchmarks.measuring.workload import INDEX, MODEL_NAME, PLAIN_ROUTE, SEARCH_ROUTE, Workload
from benchmarks.path.http.litellm import KEY, LiteLlmProxy
from benchmarks.path.load.worker import Worker
from benchmarks.path.plan import WindowPlan
from benchmarks.peers.servers import GlueService, RustFrontEnd, Smg
from trivet.client import Client

BARE, GRPC, HTTP, VLLM, RUST, LITELLM, SMG = "bare", "grpc", "http", "vllm", "rust", "litellm", "smg"
SEARCH, GLUE = "grpc-search", "glue"
SYSTEMS = (BARE, GRPC, HTTP, VLLM, RUST, LITELLM, SMG, SEARCH, GLUE)
STRIDE = 400  # prompts between the beginnings of two windows
Cell = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersPlan(WindowPlan):
    """What to run. `rust`: the binary of vLLM's Rust front end, None for none."""

    systems: Sequence[str]
    rust: Path | None


@dataclass(slots=True)
class Running:
    """What is up: how each system is reached, its processes by what they are, and how long its start took."""

    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, Callable[[], Mapping[str, list[int]]]] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)
    bare: Worker | None = None

    def enter(self, name: str, target: dict[str, Any], groups: Callable[[], Mapping[str, list[int]]]) -> None:
        """A system is up."""
        self.targets[name], self.groups[name] = target, groups


def measure_peers(plan: PeersPlan) -> dict[str, Any]:
    """Windows of all systems at all numbers of streams, in an order that changes by round."""
    cells: list[Cell] = []
    folder = plan.workload.folder
    with _up(plan) as up, Worker("benchmarks.path.load", [str(folder)], folder / "load.log") as load:
        texts = {name: _text(up, load, name) for name in up.targets}
        plain = {text for name, text in texts.items() if name not in {SEARCH, GLUE}}
        if len(plain) > 1:
            raise RuntimeError(f"the systems do not answer alike: {texts}")
        names = list(up.targets)
        for turn in range(plan.rounds):
            order = names[turn % len(names) :] + names[: turn % len(names)]
            for number, streams in enumerate(plan.streams):
                for name in order:
                    cell = _window(plan, up, load, name, streams, turn * len(plan.streams) + number)
                    cells.append({"round": turn, "streams": streams, "system": name, **cell})
                    speed = f"{cell['tokens'] / cell['seconds']:,.0f} tokens/s"
                    plan.progress(f"round {turn + 1}/{plan.rounds}, {streams:2} streams, {name}: {speed}")
        memory = {name: _memory(up.groups[name]()) for name in names}
    return {"cells": cells, "starts": up.starts, "memory": memory}


def _text(up: Running, load: Worker, name: str) -> str:
    if name == BARE and up.bare is not None:
        return str(up.bare.ask(do="describe")["text"])
    return str(load.ask(do="one", target=up.targets[name])["text"])


def _window(plan: PeersPlan, up: Running, load: Worker, name: str, streams: int, number: int) -> Cell:
    if name == BARE and up.bare is not None:
        return up.bare.ask(
            do="measure", streams=streams, seconds=plan.seconds, offset=STRIDE * number, processes=up.groups[name]()
        )
    # No longer than it has to be, for it is embedded with the question: each system has a cache of its own, in memory.
    fresh = {"texts": f"fresh:w{number}"} if name in {SEARCH, GLUE} else {}
    processes = {**up.groups[name](), "load": [load.pid]}
    return load.ask(
        do="measure", target=up.targets[name], streams=streams, seconds=plan.seconds, offset=STRIDE * number,
        processes=processes, **fresh,
    )  # fmt: skip


@contextmanager
def _up(plan: PeersPlan) -> Iterator[Running]:
    wanted, up = set(plan.systems), Running()
    with ExitStack() as stack:
        if wanted & {GRPC, HTTP, SEARCH, GLUE}:
            _trivet(plan, stack, up, wanted)
        if BARE in wanted:
            _bare(plan, stack, up)
        if RUST in wanted and plan.rust is not None:
            rust = _start(plan, stack, up, RUST, RustFrontEnd(plan.workload, plan.rust))
            up.enter(RUST, _chat(rust, plan.workload), lambda: process_groups(rust.pid))
        if wanted & {VLLM, LITELLM, SMG, GLUE}:
            _vllm(plan, stack, up, wanted)
        yield up


def _trivet(plan: PeersPlan, stack: ExitStack, up: Running, wanted: set[str]) -> None:
    server = stack.enter_context(TrivetServer(plan.workload))
    up.starts[GRPC] = server.started
    plan.progress(f"Trivet is ready after {server.started:.1f} s")

    def groups() -> Mapping[str, list[int]]:
        return process_groups(server.pid)

    if GRPC in wanted:
        up.enter(GRPC, {"trivet": server.target.address, "route": PLAIN_ROUTE}, groups)
    if HTTP in wanted:
        host, _, port = server.http_address.rpartition(":")
        up.enter(HTTP, {"chat": {"host": host, "port": int(port), "model": PLAIN_ROUTE, "turns": []}}, groups)
    if SEARCH in wanted:
        with Client(server.target) as client:
            for _ in client.build_index(INDEX):
                pass
        up.enter(SEARCH, {"trivet": server.target.address, "route": SEARCH_ROUTE}, groups)


def _bare(plan: PeersPlan, stack: ExitStack, up: Running) -> None:
    folder = plan.workload.folder
    begin = time.perf_counter()
    bare = Worker("benchmarks.path.bare_engine", [str(folder)], folder / "bare.log", engine_environment(folder))
    up.bare = stack.enter_context(bare)
    engine = bare.ask(do="describe")["engine"]
    up.starts[BARE] = time.perf_counter() - begin
    up.enter(BARE, {}, lambda: {"front": [bare.pid], "engine": engine})
    plan.progress(f"AsyncLLM alone is ready after {up.starts[BARE]:.1f} s")


def _vllm(plan: PeersPlan, stack: ExitStack, up: Running, wanted: set[str]) -> None:
    workload = plan.workload
    vllm = _start(plan, stack, up, VLLM, VllmServer(workload))
    if VLLM in wanted:
        up.enter(VLLM, _chat(vllm, workload), lambda: process_groups(vllm.pid))
    upstream = f"{vllm.host}:{vllm.port}"
    makers: dict[str, Callable[[], HttpServer]] = {
        LITELLM: lambda: LiteLlmProxy(workload.folder, upstream),
        SMG: lambda: Smg(workload.folder, upstream),
        GLUE: lambda: GlueService(workload, upstream, _embedding(workload)),
    }
    for name, make in makers.items():
        if name in wanted:
            proxy = _start(plan, stack, up, name, make())
            target = _chat(proxy, workload, KEY if name == LITELLM else "")
            up.enter(name, target, partial(_behind, vllm.pid, proxy.pid))


def _behind(upstream: int, proxy: int) -> Mapping[str, list[int]]:
    """The processes of a proxy and of what it asks."""
    return {**process_groups(upstream), "proxy": [proxy, *descendants(proxy)]}


def _start(plan: PeersPlan, stack: ExitStack, up: Running, name: str, server: HttpServer) -> HttpServer:
    begin = time.perf_counter()
    stack.enter_context(server)
    up.starts[name] = time.perf_counter() - begin
    plan.progress(f"{server.name} is ready after {up.starts[name]:.1f} s")
    return server


def _chat(server: HttpServer, workload: Workload, key: str = "") -> dict[str, Any]:
    model = {"model": MODEL_NAME, "turns": workload.turns(), "key": key}
    return {"chat": {"host": server.host, "port": server.port, **model}}


def _embedding(workload: Workload) -> Path:
    """What Trivet has exported by now."""
    return next((workload.folder / "data" / "cache" / "embedding").glob("*/model.onnx")).parent


def _memory(groups: Mapping[str, list[int]]) -> dict[str, int]:
    """Proportional set size of each group of processes, bytes."""
    return {name: sum(map(_pss, pids)) for name, pids in groups.items()}


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
