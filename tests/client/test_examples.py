"""The examples, run as they stand against a gateway."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from gateway_harness import gateway

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"


def run(name: str, *arguments: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_threads(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await asyncio.to_thread(run, "threads.py", served.address, "rag", "hello")
    assert said[0] == "one two three"
    assert said[1].startswith("[1] doc-a")
    assert said[3].startswith("3 tokens, request ")
    assert said[4].startswith("INVALID_REQUEST: {'messages")


async def test_event_loop(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        said = await asyncio.to_thread(run, "event_loop.py", served.address, "plain", "hello")
    assert said[0] == "whole: one two three"
    assert said[1].startswith("begun: one")
