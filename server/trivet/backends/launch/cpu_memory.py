"""How much memory an engine on a CPU takes for its KV cache unless it is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

SHARE = 0.5  # of what is left once the model is loaded
ENGINE_BYTES = 2 << 30  # an engine process without weights: libraries, buffers, adapters
LEAST_BYTES = 64 << 20
_GROUPS = Path("/sys/fs/cgroup")


def take_share(config: Any, name: str, model: Path) -> None:
    """Give vLLM's configuration a bound on the KV cache, where it has none, and say in the log what was taken.

    vLLM would take 92% of the machine's memory, whatever else runs on it and whatever its container may have. Taken is
    half of what will be free once the weights are loaded, at most what the longest requests can fill.
    """
    cache, model_config, parallel = config.cache_config, config.model_config, config.parallel_config
    if cache.kv_cache_memory_bytes is not None:
        return
    workers = max(1, parallel.world_size)
    weights = _weight_bytes(model, model_config.dtype.itemsize)
    per_token = _bytes_per_token(model_config, parallel)
    most = per_token * model_config.max_model_len * config.scheduler_config.max_num_seqs
    free = available_memory()
    taken = kv_cache_bytes(free=free, needed=weights + workers * ENGINE_BYTES, most=most * workers) // workers
    cache.kv_cache_memory_bytes = taken
    logger.info(
        "engine %s: the KV cache takes %.2f GB, room for %d tokens; %.2f GB of memory were free, and the model needs "
        "%.2f GB. kv_cache_memory_bytes sets another size",
        name, taken / 1e9, taken // per_token, free / 1e9, weights / 1e9,
    )  # fmt: skip


def kv_cache_bytes(*, free: int, needed: int, most: int) -> int:
    """Bytes for the KV cache, of `free` ones of which the engine needs some itself, and never more than `most`."""
    return max(LEAST_BYTES, min(most, int((free - needed) * SHARE)))


def available_memory(groups: Path = _GROUPS, system: Path = Path("/proc")) -> int:
    """Bytes that this process may still have: what the machine has left, or less where a control group says so."""
    left = [_available(system / "meminfo")]
    for line in (system / "self" / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = groups if not controllers else groups / "memory"
            left += _left_in_groups(root, root / path.lstrip("/"))
    return max(0, min(left))


def _available(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise OSError(f"{meminfo} does not say what memory is available")


def _left_in_groups(root: Path, group: Path) -> list[int]:
    """What a control group and those above it leave; a container sees its own as the root."""
    left = []
    while True:
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),  # version 1
        ):
            most, now = _number(group / limit), _number(group / used)
            if most is not None and now is not None:
                left.append(most - now + _reclaimable(group / "memory.stat"))
        if group == root or root not in group.parents:
            return left
        group = group.parent


def _number(path: Path) -> int | None:
    """None where there is no such file, or it says `max`."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _reclaimable(stat: Path) -> int:
    """Pages of files that nobody used lately count as used, but are given back."""
    try:
        values = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines())
    except OSError:
        return 0
    return int(values.get("inactive_file", 0))


def _weight_bytes(model: Path, item_size: int) -> int:
    """The weights in memory: as in the files, or more where they are converted to a wider type."""
    files = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    return files * max(1, item_size // 2)


def _bytes_per_token(model: Any, parallel: Any) -> int:
    """Of one worker's part of the KV cache."""
    vectors = 1 if getattr(model, "use_mla", False) else 2
    heads, size = model.get_num_kv_heads(parallel), model.get_head_size()
    return max(1, int(vectors * model.get_num_layers(parallel) * heads * size * model.dtype.itemsize))
