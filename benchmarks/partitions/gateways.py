"""Gateways over the same nodes and one PostgreSQL, each on a host of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.fleet.nodes import Node, gateway_config
from benchmarks.fleet.served import Served, scrape
from benchmarks.partitions.hosts import Host
from trivet.client import Client, Target
from trivet.costs.entry import Entry, read_line
from trivet.costs.log_files import open_log

KINDS = ("input_uncached", "input_cached", "output")
STREAMS = 64


class Gateway(Served):
    """`trivet serve`, with the sorter's adapter in the version that was chosen last."""

    def __init__(self, folder: Path, number: int, host: Host, nodes: list[Node], state: str) -> None:
        self._own = folder / f"gateway-{number}"
        self._nodes = nodes
        self._state = {"url": state}
        config = self.choose("2")
        ports = {"listen": 7600, "admin-listen": 7601, "metrics-listen": 7602}
        self.target = Target(address=f"{host.address}:7600", admin_address=f"{host.address}:7601")
        self.metrics = f"{host.address}:7602"
        self.retired: Counter[str] = Counter()  # warm-ups of its earlier lives
        command = ["serve", "--config", str(config), "--insecure"]
        for option, port in ports.items():
            command += [f"--{option}", f"{host.address}:{port}"]
        super().__init__(f"gateway-{number}", self._own, command, host.entered)

    def choose(self, sorter: str) -> Path:
        """Write a configuration with this version of the sorter; `reload` serves it."""
        return gateway_config(self._own, self._nodes, STREAMS, sorter, state=self._state)

    def reload(self) -> None:
        """Raises CallFailed."""
        with Client(self.target, timeout=60) as client:
            client.reload_routes()

    def retire(self) -> None:
        """Remember what is only in its metrics, before it ends."""
        self.retired.update(self._warmed())

    def tokens(self) -> Counter[str]:
        """Of its receipts, as the request log has them, and of its warm-ups, in all of its lives."""
        found = self.retired + self._warmed()
        with open_log(self.data) as files:
            for file in files:
                for line in file.stream.read(file.size).splitlines():
                    entry = read_line(line)
                    if isinstance(entry, Entry) and entry.input_tokens is not None:
                        cached = entry.cached_tokens or 0
                        found.update(input_uncached=entry.input_tokens - cached, input_cached=cached)
                        found.update(output=entry.output_tokens or 0)
        return found

    def ready_nodes(self) -> int:
        """As it sees them; OSError while it does not answer."""
        return int(self._sum("trivet_fleet_nodes", 'state="ready"'))

    def retries(self) -> int:
        """Requests that it brought to a second node."""
        return int(self._sum("trivet_fleet_retries_total"))

    def _sum(self, name: str, label: str = "") -> float:
        samples = scrape(self.metrics, 5.0)
        return sum(value for (found, labels), value in samples.items() if found == name and label in labels)

    def _warmed(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (name, labels), value in scrape(self.metrics, 20.0).items():
            if name == "trivet_warmup_tokens_total":
                kind = labels.partition('kind="')[2].partition('"')[0]
                found[kind] += int(value)
                found["primings"] += int(value) if kind == "output" else 0
        return found
