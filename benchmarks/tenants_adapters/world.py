"""The configurations: tenants with an adapter each behind one route, and the same adapters fixed, a route each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.tiny_adapters import write_adapter
from benchmarks.measuring.workload import MODEL_NAME, PLAIN_ROUTE, Workload

PLACES, SLOTS = 16, 4
TOKENS = 16
HEAVY, LIGHT = "heavy", "light"
HEAVY_ADAPTERS, LIGHT_ADAPTERS = 64, 40


def tenant(number: int) -> str:
    """Its name, which is the name of its adapter and its key too."""
    return f"tenant-{number:03d}"


def make(folder: Path, tenants: int) -> tuple[Workload, Workload, dict[str, str]]:
    """On demand, fixed, and the digests by `name@version`."""
    root, digests = folder / "adapters", {}
    refs = [(tenant(number), "1") for number in range(tenants)]
    refs += [(HEAVY, str(number)) for number in range(HEAVY_ADAPTERS)]
    refs += [(LIGHT, str(number)) for number in range(LIGHT_ADAPTERS)]
    for seed, (name, version) in enumerate(refs):
        digests[f"{name}@{version}"] = write_adapter(root / name / version, seed, rank=4)
    chosen, fixed = Workload(folder / "chosen"), Workload(folder / "fixed")
    for workload in (chosen, fixed):
        workload.make()
    _write(chosen, root, _choosing(), [*(tenant(number) for number in range(tenants)), HEAVY, LIGHT])
    _write(fixed, root, {tenant(n): {"adapter": f"{tenant(n)}@1"} for n in range(tenants)}, [])
    return chosen, fixed, digests


def _choosing() -> dict[str, dict[str, Any]]:
    return {
        "own": {"adapter": {"by": "tenant", "from": ["{tenant}@1"], "fallback": "refuse"}},
        "named": {"adapter": {"by": "request", "from": ["{tenant}@*"], "fallback": "refuse"}},
    }


def _write(workload: Workload, root: Path, routes: dict[str, dict[str, Any]], tenants: list[str]) -> None:
    config = yaml.safe_load(workload.config.read_text())
    backend = config["backends"][MODEL_NAME]
    backend |= {"enable_lora": True, "max_loras": SLOTS, "max_cpu_loras": PLACES, "max_lora_rank": 8}
    backend["adapter_quantum_ms"] = 100
    variant = config["routes"][PLAIN_ROUTE]["variants"]["base"]
    variant["sampling"]["max_tokens"] = TOKENS
    config["adapters"] = [str(root)]
    config["indexes"] = {}
    config["routes"] = {
        name: {"cache": "shared", "variants": {"own": {**variant, **own}}} for name, own in routes.items()
    }
    if tenants:
        config["keys"] = [
            {"name": name, "tenant": name, "role": "client", "sha256": hashlib.sha256(name.encode()).hexdigest()}
            for name in tenants
        ] + [
            {
                "name": "operator", "tenant": "operators", "role": "operator",
                "sha256": hashlib.sha256(b"operator").hexdigest(),
            }
        ]  # fmt: skip
    workload.config.write_text(yaml.safe_dump(config, sort_keys=False))
