"""What all tests share: fixtures, each made when the first test asks for it, threads, and where temporary files are."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# One thread for each process: those of several processes would wait for each other's turns on a shared CPU. Must be set
# before the libraries are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = (
    "tests.support.engine.fixtures",
    "tests.support.retrieval.exported_models",
    "tests.support.groups",
    "tests.support.markers",
    "tests.support.stores.state_stores",
)
# No example has a time limit of its own: on a busy machine any may take longer than the library's 0.2 s.
settings.register_profile("trivet", deadline=None)
settings.load_profile("trivet")
MEMORY = Path("/dev/shm")
ROOM = 6 << 30  # bytes


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary files in memory where it has the room: what is synced to a disk is waited for."""
    chosen = config.getoption("basetemp") or "PYTEST_DEBUG_TEMPROOT" in os.environ
    if not chosen and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: no collection of garbage need walk over it again."""
    gc.freeze()
