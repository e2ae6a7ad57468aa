"""Servers of one and of several front ends, each over a paced engine of its own, and what their processes are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.hostile.loop_lag import lag_counts
from benchmarks.measuring.processes import descendants
from benchmarks.measuring.workload import MODEL_NAME, PLAIN_ROUTE, Workload
from benchmarks.paced.engine import NAME as PACED
from trivet.cli.server.process import ServerProcess

FRONT_END, ENGINE, PARENT = "front end", "engine process", "parent"


@dataclass(frozen=True, slots=True)
class Setting:
    """What each server is told: streams at most, tokens of an answer, the engine's tokens a second."""

    streams: int
    tokens: int
    pace: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A running server. `processes`: process ids by kind; front ends are `front end 0` and so on."""

    front_ends: int
    address: str
    metrics: tuple[str, ...]
    processes: Mapping[str, list[int]]

    def connections(self) -> list[int]:
        """How many connections of clients each front end has."""
        open_ = _connected(int(self.address.rpartition(":")[2]))
        pids = (self.processes[f"{FRONT_END} {number}"][0] for number in range(self.front_ends))
        return [len(open_ & _sockets(pid)) for pid in pids]

    def lags(self) -> list[dict[float, float]]:
        """Of the event loop of each front end, since its start: looks by how late they were at most."""
        return [lag_counts(address) for address in self.metrics]


@contextmanager
def served(workload: Workload, front_ends: int, setting: Setting, state: str) -> Iterator[Layout]:
    """Start a server; `state` is the URL of an empty database."""
    os.environ["PACED_TOKENS_PER_SECOND"] = str(setting.pace)
    folder = workload.folder / f"{front_ends}-{setting.tokens}-{setting.pace}"
    folder.mkdir()
    config, data = folder / "trivet.yaml", folder / "data"
    config.write_text(yaml.safe_dump(_config(workload, front_ends, setting, state), sort_keys=False))
    module = "benchmarks.paced.served" if front_ends == 1 else "benchmarks.paced.parent"
    with ServerProcess(config, data, output=folder / "trivet.log", module=[module]) as server:
        children = data / "processes"
        places = [data] if front_ends == 1 else [children / str(number) for number in range(front_ends)]
        told = [_told(place) for place in places]
        processes = {f"{FRONT_END} {number}": [one["pid"]] for number, one in enumerate(told)}
        owner = server.pid
        if front_ends > 1:
            owner = _told(children / f"engine-{MODEL_NAME}")["pid"]
            processes |= {ENGINE: [owner], PARENT: [server.pid]}
        processes[PACED] = [paced_engine(owner)]
        yield Layout(front_ends, server.target.address, tuple(one["metrics_listen"] for one in told), processes)


def paced_engine(owner: int) -> int:
    """The process id of the paced engine of this process. RuntimeError if it has another engine, or none."""
    names = {pid: _name(pid) for pid in descendants(owner)}
    found = [pid for pid, name in names.items() if name == PACED]
    if len(found) != 1 or any(name.startswith("VLLM::EngineCor") for name in names.values()):
        raise RuntimeError(f"expected one process {PACED} and no engine of vLLM's, got {sorted(names.values())}")
    return found[0]


def _config(workload: Workload, front_ends: int, setting: Setting, state: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(workload.config.read_text())
    config["server"] = {"processes": front_ends}
    config["state"] = {"url": state}
    config["backends"][MODEL_NAME] |= {"max_num_seqs": setting.streams, "hang_timeout": 600}
    config["admission"] = {"max_running": setting.streams, "max_queued": setting.streams}
    config["indexes"] = {}
    config["routes"] = {PLAIN_ROUTE: config["routes"][PLAIN_ROUTE]}
    config["routes"][PLAIN_ROUTE]["variants"]["base"]["sampling"]["max_tokens"] = setting.tokens
    return config


def _told(folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((folder / "server.json").read_text())
    return said


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it has ended
        return ""


def _connected(port: int) -> set[str]:
    """The sockets that are connections to this local port; gRPC's are of IPv6, whatever the address."""
    tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    lines = [line.split() for table in tables for line in table]
    return {f"socket:[{one[9]}]" for one in lines if one[3] == "01" and int(one[1].rpartition(":")[2], 16) == port}


def _sockets(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            found.add(str(link.readlink()))
    return found
