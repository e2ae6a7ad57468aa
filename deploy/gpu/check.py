"""What Trivet claims, checked on a machine with a GPU: `python deploy/gpu/check.py --help` (`benchmarks/gpu`)."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
