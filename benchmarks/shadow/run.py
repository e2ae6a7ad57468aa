"""One run: closed loops on routes with and without a shadow, in turns."""

from __future__ import annotations

import asyncio
import random
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import yaml

from benchmarks.measuring.servers import TrivetServer
from benchmarks.measuring.wire import INFERENCE
from benchmarks.measuring.workload import PLAIN_ROUTE, Workload
from trivet.api.v1 import inference_pb2, rollout_pb2
from trivet.client import Client

OFF = "off"
SHADOWS: Mapping[str, Mapping[str, float] | None] = {
    OFF: None,
    "again": None,
    "default": {},
    "quarter": {"load": 0.25, "max_running": 4},
    "unbounded": {"load": 1.0, "max_running": 32},
}
"""The routes, and what each one's shadow has beside `time` and `share`."""
UNITS = 1000
_SAMPLE = re.compile(r'trivet_shadow_total\{outcome="(\w+)",route="(\w+)"\} (\S+)')
TOKENS = 16  # of an answer, and of its copy
_PAUSE = 0.5
_READY = 120.0  # seconds


@dataclass
class Felt:
    """What clients felt on one route at one load, seconds; and what became of its copies."""

    ttft: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    copies: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


def add_routes(workload: Workload) -> None:
    """A route for each of `SHADOWS`, beside those that there are."""
    config = yaml.safe_load(workload.config.read_text())
    variant = {**config["routes"][PLAIN_ROUTE]["variants"]["base"]}
    del variant["weight"]
    other = {**variant, "sampling": {**variant["sampling"], "top_p": 0.999}}
    for name, shadow in SHADOWS.items():
        if shadow is None:
            config["routes"][name] = {"variants": {"stable": {**variant, "weight": 1.0}}}
            continue
        config["routes"][name] = {
            "variants": {"stable": variant, "candidate": other},
            "rollout": {
                "stable": "stable", "candidate": "candidate", "start": "automatic", "silence": "1d",
                "stable_slowdown": 100.0, "shadow": {"time": "1d", "share": 1.0, **shadow}, "maximum_time": "7d",
                "guardrails": {"error": {"margin": 0.1}},
            },
        }  # fmt: skip
    workload.config.write_text(yaml.safe_dump(config, sort_keys=False))


async def ask(channel: grpc.aio.Channel, route: str, number: int, felt: Felt) -> None:
    """Stream one answer."""
    message = inference_pb2.Message(role="user", content=f"Question {number}: what is there to know?")
    request = inference_pb2.GenerateRequest(
        route=route, messages=[message], unit_id=f"unit-{number % UNITS}", max_tokens=TOKENS
    )
    call: Any = channel.unary_stream(
        f"/{INFERENCE}/GenerateStream", response_deserializer=inference_pb2.GenerateStreamResponse.FromString
    )
    stream = call(request.SerializeToString(), timeout=120)
    begun, first = time.perf_counter(), None
    try:
        async for event in stream:
            if first is None and event.HasField("delta"):
                first = time.perf_counter()
    except grpc.aio.AioRpcError as error:
        felt.failed[error.code().name] += 1
        await asyncio.sleep(0.01)
        return
    ended = time.perf_counter()
    felt.ttft.append((first or ended) - begun)
    felt.total.append(ended - begun)


async def loops(address: str, route: str, number: int, seconds: float, questions: Any, felt: Felt) -> None:
    """So many closed loops for so many seconds."""
    until = time.monotonic() + seconds

    async def loop(channel: grpc.aio.Channel) -> None:
        while time.monotonic() < until:
            await ask(channel, route, next(questions), felt)

    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.gather(*(loop(channel) for _ in range(number)))


def outcomes(metrics_address: str) -> dict[str, Counter[str]]:
    """What became of copies so far, by route."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=10) as answer:
        found: dict[str, Counter[str]] = {name: Counter() for name in SHADOWS}
        for outcome, route, value in _SAMPLE.findall(answer.read().decode()):
            found[route][outcome] += int(float(value))
        return found


def _wait_for_shadows(server: TrivetServer) -> None:
    deadline = time.monotonic() + _READY
    with Client(server.target, timeout=60) as client:
        for name, shadow in SHADOWS.items():
            while shadow is not None and client.rollouts.get(name).state != rollout_pb2.ROLLOUT_STATE_SHADOW:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"route {name} is not in its shadow after {_READY:g} s")
                time.sleep(0.2)


def measure(folder: Path, at_once: list[int], seconds: float, rounds: int) -> dict[int, dict[str, Felt]]:
    """By loops at once and route."""
    workload = Workload(folder)
    workload.make()
    add_routes(workload)
    results = {number: {name: Felt() for name in SHADOWS} for number in at_once}
    order, questions = random.Random(5), count()
    with TrivetServer(workload) as server:
        _wait_for_shadows(server)
        for name in SHADOWS:  # the first requests of each variant are slower
            asyncio.run(loops(server.target.address, name, 4, 2.0, questions, Felt()))
        for number, felt in results.items():
            for _ in range(rounds):
                for name in order.sample(list(SHADOWS), len(SHADOWS)):
                    time.sleep(_PAUSE)
                    before = outcomes(server.metrics_address)[name]
                    asyncio.run(loops(server.target.address, name, number, seconds, questions, felt[name]))
                    time.sleep(_PAUSE)
                    felt[name].copies += outcomes(server.metrics_address)[name] - before
    return results
