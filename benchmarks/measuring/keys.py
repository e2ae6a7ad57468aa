"""Keys of the tenants that share a server."""

from __future__ import annotations

import hashlib

import yaml

from benchmarks.measuring.workload import Workload

KEYS = {"neighbour": "client", "hostile": "client", "operator": "operator"}


def add_keys(workload: Workload) -> None:
    """Each tenant's key is its name."""
    config = yaml.safe_load(workload.config.read_text())
    config["keys"] = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": name, "role": role}
        for name, role in KEYS.items()
    ]
    workload.config.write_text(yaml.safe_dump(config, sort_keys=False))
