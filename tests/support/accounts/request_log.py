"""The request log of a server that runs in another process, which writes it a moment after it answers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

_SECONDS = 30.0


def logged_receipts(data_dir: Path, at_least: int) -> list[dict[str, Any]]:
    """All whole lines of answers, once there are so many; AssertionError if they do not come."""
    end = time.monotonic() + _SECONDS
    while True:
        text = (data_dir / "receipts.jsonl").read_text()
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        lines = [line for line in lines if "use" not in line]
        if len(lines) >= at_least:
            return lines
        assert time.monotonic() < end, f"{len(lines)} receipts after {_SECONDS:g} s, expected {at_least}"
        time.sleep(0.05)
