"""What the file says of a route, as a digest: two gateways with the same file have the same one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from trivet.types.variant import Route


def content_digest(route: Route) -> str:
    """SHA-256 in hexadecimal over all of a route as the file declares it, but for its revision."""
    data = json.dumps(asdict(replace(route, revision=0)), sort_keys=True, default=lambda value: value.value)
    return hashlib.sha256(data.encode()).hexdigest()
