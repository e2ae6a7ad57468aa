"""Fixtures that several areas share, each made when the first test asks for it; and which tests stay together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest_plugins = ("engine_fixtures",)
SHARED = ("tiny_engine", "served_config")  # an engine, and the configuration of the end-to-end tests' server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Function]) -> None:
    """With several workers a file's tests stay together, and so do all that share an engine: it starts once."""
    files = {item.path: name for item in items for name in SHARED if name in item.fixturenames}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(files.get(item.path, str(item.path))))
