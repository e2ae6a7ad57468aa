"""Modules that are imported when something of them is first asked for.

Every worker imports every file of tests: PyTorch and what stands on it take seconds there, and few of them use it.
"""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """Stands for the module of this name; what is asked of it is asked of the module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks everything in a file of tests whether it is a fixture
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
