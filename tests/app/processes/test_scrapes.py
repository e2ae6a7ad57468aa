"""Metrics fetched from the server's processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from trivet.app.processes.scrapes import Scrapes
from trivet.metering.exposition import MetricsListener


@pytest.fixture
def address() -> Iterator[str]:
    registry = CollectorRegistry()
    Counter("asked", "Requests.", registry=registry).inc(3)
    listener = MetricsListener("127.0.0.1:0", [registry])
    yield listener.address
    listener.close()


def test_they_do_not_go_through_a_proxy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    scrapes = Scrapes(lambda: ())
    scrapes.up("one", address)
    registry = CollectorRegistry()
    registry.register(scrapes)
    assert registry.get_sample_value("asked_total", {}) == 3
    scrapes.close()
