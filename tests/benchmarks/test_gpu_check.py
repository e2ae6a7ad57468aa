"""The check of a GPU, tried with a tiny model on this CPU: every step of it works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADINGS = ("Front ends", "Isolation", "Swaps under load", "Prefix cache", "What LoRA costs")


@pytest.mark.engine
@pytest.mark.timeout(900)  # eight engines are started, three of them at once
def test_all_parts_end_with_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    script = [sys.executable, str(ROOT / "deploy" / "gpu" / "check.py"), "--tiny"]
    done = subprocess.run(
        [*script, "--to", str(page), "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\n{page.read_text() if page.exists() else ''}"
    text = page.read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")][: len(HEADINGS)] == list(HEADINGS)
    assert re.search(
        r"\d+ of 20 answers in a mixed batch begin as they do alone; none begins as another adapter's", text
    )
