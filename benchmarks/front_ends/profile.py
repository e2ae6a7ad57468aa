"""Where the processor's time of front ends and of their engine process goes, by what the functions belong to."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SAMPLED = ("front end", "engine process", "serve")
_WRITE_TIMEOUT = 30.0
_FOLDER = Path(__file__).with_name("sampling")
# The innermost frame that is somebody's decides; what comes first wins.
_OWNERS = (
    ("grpc/", "gRPC"),
    ("google/protobuf", "messages"),
    ("_pb2", "messages"),
    ("site-packages/vllm", "vLLM"),
    ("trivet/rpc", "Trivet: service for clients"),
    ("trivet/pipeline", "Trivet: pipeline"),
    ("trivet/prompts", "Trivet: prompts"),
    ("trivet/fleet", "Trivet: way to the engine process"),
    ("trivet/node", "Trivet: service for front ends"),
    ("trivet/engine", "Trivet: way to the engine process"),
    ("trivet/backends", "Trivet: engine's outputs"),
    ("trivet/metering", "Trivet: accounts"),
    ("trivet/", "Trivet: other"),
    ("asyncio", "event loop"),
)


@contextmanager
def sampled(folder: Path) -> Iterator[None]:
    """Servers that are started meanwhile can be sampled; what they say goes into `folder`."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "BENCHMARK_SAMPLES")}
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_FOLDER), before["PYTHONPATH"]]))
    os.environ["BENCHMARK_SAMPLES"] = str(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def sample(folder: Path, processes: Mapping[int, str], work: Callable[[], int]) -> list[str]:
    """Lines for each kind of process: the share of its samples by owner, while `work` brings tokens."""
    chosen = {pid: kind for pid, kind in processes.items() if kind in SAMPLED}
    for pid in chosen:
        os.kill(pid, signal.SIGUSR1)
    work()
    for pid in chosen:
        os.kill(pid, signal.SIGUSR2)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for pid, kind in chosen.items():
        for stack, number in _read(folder / f"{pid}.json"):
            found[kind][_owner(stack)] += number
    return [line for kind, counted in found.items() for line in _told(kind, counted)]


def _read(file: Path) -> list[tuple[list[str], int]]:
    end = time.monotonic() + _WRITE_TIMEOUT
    while not file.exists():
        if time.monotonic() > end:
            raise RuntimeError(f"{file.name}: a process did not write its samples")
        time.sleep(0.05)
    found = [(stack, number) for stack, number in json.loads(file.read_text())]
    file.unlink()
    return found


def _owner(stack: list[str]) -> str:
    for frame in reversed(stack):
        for words, owner in _OWNERS:
            if words in frame:
                return owner
    return "other"


def _told(kind: str, counted: Counter[str]) -> Iterator[str]:
    whole = counted.total()
    shares = ", ".join(
        f"{owner} {number / whole:.0%}" for owner, number in counted.most_common() if number >= whole / 100
    )
    yield f"- {kind}, {whole:,} samples: {shares}"
