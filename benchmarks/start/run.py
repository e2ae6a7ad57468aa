"""One start of the demo's server, a restart of its engine, and what each process of it takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from benchmarks.measuring.cpu_time import cpu_seconds
from benchmarks.measuring.processes import command_line, descendants
from benchmarks.measuring.repository import ROOT
from trivet.cli.server.process import ServerProcess

BACK_SECONDS = 600.0
_LINE = re.compile(r"(\S+Z) +\w+ +(.*)")


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in bytes. `shared_out`: its part where pages are shared, in proportion (PSS)."""

    resident: int
    shared_out: int


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds, and processor seconds by process. `steps`: the log's lines, with the seconds since the start."""

    ready: float
    cpu: Mapping[str, float]
    restart: float
    restart_cpu: float
    memory: Mapping[str, Memory]
    steps: Mapping[str, float]


def sources(revision: str, folder: Path) -> Path:
    """The server's sources at that revision, for PYTHONPATH."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", revision, "server"], check=True, capture_output=True)
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / "server"


def measure(code: Path, data: Path, log: Path) -> Start:
    """Start the server of these sources on this data folder, kill its engine once, and stop it."""
    begun, clock = time.monotonic(), time.time()
    server = ServerProcess(ROOT / "trivet.yaml", data, output=log)
    try:
        with _on_path(code):
            server.__enter__()
    except click.ClickException as problem:
        raise RuntimeError(f"{problem}:\n{log.read_text()}") from problem
    try:
        ready = time.monotonic() - begun
        processes = _processes(server.pid, data)
        cpu = {name: cpu_seconds(pid) for pid, name in processes.items()}
        memory = {name: _memory(pid) for pid, name in processes.items()}
        restart, restart_cpu = _restart(server.pid, data, log)
    finally:
        server.__exit__(None, None, None)
    return Start(ready, cpu, restart, restart_cpu, memory, dict(_steps(log, clock)))


@contextmanager
def _on_path(code: Path) -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(code)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _restart(pid: int, data: Path, log: Path) -> tuple[float, float]:
    """Kill the engine; seconds until what it serves is ready again, and what its family computed meanwhile."""
    family = _processes(pid, data)
    engine = next(one for one, name in family.items() if name == "engine")
    before = sum(cpu_seconds(one) for one in family if one != engine)
    killed = time.monotonic()
    os.kill(engine, signal.SIGKILL)
    while "engine local is back" not in log.read_text():
        if time.monotonic() - killed > BACK_SECONDS:
            raise TimeoutError(f"the engine was not back within {BACK_SECONDS:g} s")
        time.sleep(0.02)
    back = time.monotonic() - killed
    return back, sum(cpu_seconds(one) for one in _processes(pid, data)) - before


def _processes(pid: int, data: Path) -> dict[int, str]:
    """What each process of a server is. Compilers and the like, of which there may be several, are numbered."""
    named, counts = {pid: "gateway"}, Counter[str]()
    for one in descendants(pid):
        kind = _kind(one, data)
        counts[kind] += 1
        named[one] = kind if counts[kind] == 1 else f"{kind} {counts[kind]}"
    return named


def _kind(pid: int, data: Path) -> str:
    if Path(f"/proc/{pid}/fd/1").readlink() == data / "logs" / "engine-local.log":
        return "engine"
    command = command_line(pid)
    known = {
        "EngineHost": "engine host",
        "trivet.vector": "vector engine",
        "trivet.retrieval.embedding": "embedding model",
        "trivet.backends.grammars": "grammar compiler",
        "resource_tracker": "resource tracker",
    }
    return next((name for words, name in known.items() if words in command), "other")


def _memory(pid: int) -> Memory:
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return Memory(*(int(fields[name].split()[0]) * 1024 for name in ("Rss", "Pss")))


def _steps(log: Path, begun: float) -> Iterator[tuple[str, float]]:
    for line in log.read_text().splitlines():
        found = _LINE.match(line)
        if found is not None:
            told = found[2].partition(":")[0] if found[2].startswith("ready:") else found[2]
            yield told, datetime.fromisoformat(found[1]).timestamp() - begun
            if told == "ready":
                return
