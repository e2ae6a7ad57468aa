"""A server of an end-to-end test, from outside: its metrics, its processes."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trivet.cli.server.process import ServerProcess


def metrics(server: ServerProcess) -> dict[str, float]:
    """All samples of /metrics, by name and labels as they stand."""
    samples = (re.fullmatch(r"(\S+?(?:\{.*\})?) (\S+)", line) for line in page(server) if not line.startswith("#"))
    return {found[1]: float(found[2]) for found in samples if found}


def page(server: ServerProcess) -> list[str]:
    """The lines of /metrics."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as answer:
        return list(answer.read().decode().splitlines())


def total(samples: dict[str, float], start: str) -> float:
    """The sum of all samples whose name begins so."""
    return sum(value for name, value in samples.items() if name.startswith(start))


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for it; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Child:
    """A process below another one. `output`: the file that its standard output goes to."""

    pid: int
    command: str
    name: str
    output: Path


def children(parent: int) -> Iterator[Child]:
    """The children of `parent` that live."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) != parent or stat[0] == "Z":
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            yield Child(int(folder.name), command, (folder / "comm").read_text(), (folder / "fd/1").readlink())
        except OSError:
            continue


def below(parent: int) -> Iterator[Child]:
    """Its children that live, their children and so on."""
    for one in children(parent):
        yield one
        yield from below(one.pid)


def child(parent: int, words: str) -> int:
    """The process below `parent` whose command line or name has these words; waits for it."""
    found: list[int] = []

    def look() -> bool:
        found.extend(item.pid for item in children(parent) if words in item.command or words in item.name)
        return bool(found)

    until(look)
    return found[0]


def engine(server: ServerProcess, backend: str, other_than: int = 0, seconds: float = 60.0) -> int:
    """The process of a backend's engine, known by its log; waits for one."""
    log = server.data_dir / "logs" / f"engine-{backend}.log"
    found: list[int] = []

    def look() -> bool:
        found.extend(item.pid for item in below(server.pid) if item.output == log and item.pid != other_than)
        return bool(found)

    until(look, seconds)
    return found[0]
