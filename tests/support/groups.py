"""With several workers: which tests stay together, and in what order."""

from __future__ import annotations

import pytest

SHARED = ("tiny_engine", "served_config")  # an engine, and the configuration of the end-to-end tests' server
SLOW = ("engine", "embedding", "process")  # markers, slowest first


def slowness(item: pytest.Item) -> int:
    """The place of its slowest marker in `SLOW`; after them all if it has none."""
    return next((place for place, name in enumerate(SLOW) if item.get_closest_marker(name)), len(SLOW))


def patience(item: pytest.Item) -> float:
    """The seconds that it may take by a marker of its own; 0 if it has none."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """A file's tests stay together, and so do all that share an engine: it starts once.

    The slowest come first, of those that are alike the ones that may take longest, so that no worker waits long for
    another at the end.
    """
    if not config.pluginmanager.has_plugin("xdist"):
        return
    shared = {item.path: name for item in items for name in SHARED if name in item.fixturenames}
    groups: dict[pytest.Function, str] = {}
    slowest: dict[str, int] = {}
    longest: dict[str, float] = {}
    for item in items:
        marker = item.get_closest_marker("xdist_group")
        groups[item] = group = marker.args[0] if marker else shared.get(item.path, str(item.path))
        slowest[group] = min(slowest.get(group, len(SLOW)), slowness(item))
        longest[group] = max(longest.get(group, 0.0), patience(item))
        if not marker:
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):

        def place(item: pytest.Function) -> tuple[int, bool, float, str]:
            group = groups[item]
            return slowest[group], group not in SHARED, -longest[group], group

        items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say so if pytest-xdist does not see the groups: it reads them from the ids, which it changes before this."""
    config = session.config
    grouped = hasattr(config, "workerinput") and config.getoption("loadgroup")
    if grouped and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("the groups of tests do not hold: this pytest does not fit pytest-xdist")
