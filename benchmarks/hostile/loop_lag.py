"""How late a server's event loop was, by its own metric."""

from __future__ import annotations

import re
import urllib.request

_BUCKET = re.compile(r'trivet_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)')


def lag_counts(metrics_address: str) -> dict[float, float]:
    """How many looks found the loop at most so many seconds late, since its start."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=10) as answer:
        return {float(bound): float(count) for bound, count in _BUCKET.findall(answer.read().decode())}


def late(before: dict[float, float], after: dict[float, float], bound: float) -> tuple[int, int]:
    """How many looks in between found it later than `bound` seconds, one of the buckets', and how many there were."""
    looks = after[float("inf")] - before[float("inf")]
    return int(looks - (after[bound] - before[bound])), int(looks)
