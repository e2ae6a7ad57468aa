"""Request logs for the tests of costs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trivet.costs.entry import Entry, read_line
from trivet.metering.receipt_log import to_json
from trivet.types.receipt import Cost, Receipt

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def receipt(number: int = 0, **changes: Any) -> Receipt:
    """One that cost 100 + 10 + 1 nano-USD, an hour later for each number."""
    fields: dict[str, Any] = {
        "request_id": f"r{number}", "tenant": "acme", "route": "support", "variant": "rag", "backend": "local",
        "prompt": "p@1", "code": "OK", "created_at": NOON + timedelta(hours=number),
        "input_tokens": 100, "cached_tokens": 60, "output_tokens": 7, "cost": Cost(input=100, cached=10, output=1),
    }  # fmt: skip
    return Receipt(**{**fields, **changes})


def line(given: Receipt) -> bytes:
    """As the server writes it."""
    return json.dumps(to_json(given), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_entry(text: bytes) -> Entry:
    """What a report reads of a receipt; raises Damaged."""
    found = read_line(text)
    assert isinstance(found, Entry)
    return found


def write_log(path: Path, *receipts: Receipt) -> Path:
    """A log of these; its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(line, receipts)))
    return path.parent
