"""Engine nodes as processes, and the configuration of a gateway over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fleet.served import LOOPBACK, START_SECONDS, Served, free_port, scrape
from benchmarks.measuring.processes import descendants

ROOT = Path(__file__).parents[2]
ENGINE = {
    "kind": "embedded",
    "model": str(ROOT / "models" / "demo" / "weights"),
    "dtype": "float32",
    "block_size": 32,
    "max_model_len": 2048,
    "kv_cache_memory_bytes": 64 << 20,
    "restart": {"first_delay": 0.1},
}


class Node(Served):
    """`trivet engine` with the demo's model and adapters, on an address of the host that `entered` leads to."""

    def __init__(
        self,
        folder: Path,
        number: int,
        max_num_seqs: int = 16,
        host: str = LOOPBACK,
        entered: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        own = folder / f"node-{number}"
        own.mkdir(parents=True)
        self.address = f"{host}:{free_port()}"
        self.metrics = f"{host}:{free_port()}"
        config = own / "engine.yaml"
        command = ["engine", "--config", str(config)] + ([] if host == LOOPBACK else ["--insecure"])
        super().__init__(f"node-{number}", own, command, entered)
        written = {
            "name": self.name,
            "listen": self.address,
            "metrics_listen": self.metrics,
            "engine": {**ENGINE, "max_num_seqs": max_num_seqs},
            "adapters": [str(ROOT / "adapters")],
        }
        config.write_text(yaml.safe_dump({**written, **settings}))

    @property
    def engine_pid(self) -> int:
        """Of its engine's process."""
        cores = [pid for pid in descendants(self.pid) if "EngineCore" in _title(pid)]
        assert cores, f"{self.name} has no engine"
        return cores[0]

    def tally(self) -> Mapping[str, float]:
        """What its engine did: tokens by kind, requests by outcome."""
        found = {}
        for (name, labels), value in scrape(self.metrics).items():
            if name in ("trivet_node_tokens_total", "trivet_node_requests_total"):
                found[labels.partition('"')[2].rstrip('"')] = value
        return found


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() + Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def gateway_config(folder: Path, nodes: Sequence[Node], running: int = 64, sorter: str = "2", **others: Any) -> Path:
    """The configuration of a gateway over these nodes: a base model, an adapter, and a short prompt with another
    adapter, in version `sorter`. `others`: further sections."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "backends": {
            "fleet": {
                "kind": "remote",
                "model": str(ROOT / "models" / "demo" / "weights"),
                "nodes": {"addresses": [node.address for node in nodes]},
                "slow_start": 1.0,
                "start_timeout": START_SECONDS,
            }
        },
        "prompts": str(ROOT / "prompts"),
        "adapters": [str(ROOT / "adapters")],
        "admission": {"max_running": running, "max_queued": 64},
        "routes": {
            "base": {"variants": {"a": _variant("support-json@2", 48)}},
            "json": {"variants": {"a": _variant("support-json@2", 48, "json-answer@1")}},
            "sorter": {"variants": {"a": _variant("tickets@1", 8, f"ticket-sorter@{sorter}")}},
        },
        **others,
    }
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _variant(prompt: str, tokens: int, adapter: str | None = None) -> dict[str, object]:
    variant: dict[str, object] = {
        "weight": 1, "backend": "fleet", "prompt": prompt, "sampling": {"max_tokens": tokens},
    }  # fmt: skip
    return variant if adapter is None else {**variant, "adapter": adapter}
