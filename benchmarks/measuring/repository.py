"""Where the repository lies: the benchmarks use its content."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
