"""Series: there from the start, exact in one step, and steady while the event loop is busy."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from tests.support.request_logs import receipt
from trivet import loop_reader
from trivet.metering.adapter_gauge import AdapterGauge
from trivet.metering.machine.counters import MachineCounters
from trivet.metering.machine.machine_time import MachineTime
from trivet.metering.metrics import CODES, REQUEST_BUCKETS, STAGE_BUCKETS, TOKEN_BUCKETS, Metrics
from trivet.metering.prices import NANO, Price
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.route_gauges import RouteGauges
from trivet.metering.sink import MOST_ADAPTERS, Sink
from trivet.metering.warmup_account import WarmupAccount
from trivet.metering.weighted_histogram import WeightedHistogram
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier
from trivet.types.generation import Chunk, MachineState
from trivet.types.variant import RetrievalSettings, Route, Variant, VersionRef

BARE = Variant("bare", "local", VersionRef("p", "1"))
FULL = Variant("full", "local", VersionRef("p", "2"), VersionRef("lora", "3"), RetrievalSettings("facts"))
ROUTE = Route("support", {"bare": BARE, "full": FULL}, {"bare": 1.0, "full": 0.0}, "salt")


def test_many_equal_observations_are_those_of_the_library() -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    ours = WeightedHistogram("gap_seconds", "Gaps.", ("route",), TOKEN_BUCKETS, registry)
    theirs = Histogram("gap_seconds", "Gaps.", ["route"], buckets=TOKEN_BUCKETS, registry=reference)
    draws = random.Random(1)
    for _ in range(300):
        value, times = draws.choice([*TOKEN_BUCKETS, draws.random(), 100.0]), draws.randrange(1, 6)
        route = draws.choice("ab")
        ours.observe((route,), value, times)
        for _ in range(times):
            theirs.labels(route).observe(value)

    def samples(of: CollectorRegistry) -> dict[tuple[object, ...], float]:
        found = (sample for family in of.collect() for sample in family.samples)
        return {
            (sample.name, *sorted(sample.labels.items())): round(sample.value, 6)
            for sample in found
            if not sample.name.endswith("_created")
        }

    assert samples(registry) == samples(reference)
    assert generate_latest(registry).startswith(b"# HELP gap_seconds Gaps.")


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        WeightedHistogram("trivet_inter_token_seconds", "", (), TOKEN_BUCKETS, registry)


@pytest.mark.parametrize("bounds", [STAGE_BUCKETS, REQUEST_BUCKETS, TOKEN_BUCKETS])
def test_bounds_of_objectives_are_bounds_of_buckets(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
    assert {0.1, 0.2, 0.3, 0.5, 1.0} <= set(bounds)


def test_adapters_that_clients_choose_do_not_make_series_without_end(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    log = ReceiptLog(tmp_path / "receipts.jsonl")
    sink = Sink(Metrics(registry), log, dict)
    for number in range(MOST_ADAPTERS + 50):
        sink.record(receipt(adapter=f"tuned@{number}", shared_tokens=2))
    sink.record(receipt(adapter="tuned@0", shared_tokens=3))
    log.close()

    def value(adapter: str) -> float | None:
        return registry.get_sample_value("trivet_adapter_shared_tokens_total", {"adapter": adapter})

    assert (value("tuned@0"), value(f"tuned@{MOST_ADAPTERS}"), value("other")) == (5, None, 100)


def test_the_first_failure_of_a_variant_is_an_increase() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.requests.labels("support", "bare", "OK").inc()
    for _ in range(2):
        metrics.expect([ROUTE])

    def value(variant: str, code: str) -> float | None:
        labels = {"route": "support", "variant": variant, "code": code}
        return registry.get_sample_value("trivet_requests_total", labels)

    assert [value("full", code) for code in CODES] == [0.0] * len(CODES)
    assert value("bare", "OK") == 1
    assert value("none", "RESOURCE_EXHAUSTED") == 0
    assert value("none", "OK") is None
    labels = {"route": "support", "reason": "retrieval_timeout"}
    assert registry.get_sample_value("trivet_degraded_total", labels) == 0


def test_each_variant_says_what_it_is_made_of() -> None:
    registry = CollectorRegistry()
    registry.register(RouteGauges(lambda: {"support": ROUTE}))
    labels = {"route": "support", "variant": "full", "backend": "local", "adapter": "lora@3", "prompt": "p@2"}
    assert registry.get_sample_value("trivet_variant_info", {**labels, "index": "facts"}) == 1
    labels = {"route": "support", "variant": "bare", "backend": "local", "adapter": "", "prompt": "p@1", "index": ""}
    assert registry.get_sample_value("trivet_variant_info", labels) == 1


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_gauge_keeps_its_last_value_while_the_event_loop_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_reader, "PATIENCE", 0.05)
    registry, busy = CollectorRegistry(), threading.Event()
    status = AdapterStatus(VersionRef("lora", "3"), AdapterState.READY, AdapterTier.HOST)
    labels = {"adapter": "lora@3", "tier": "host"}
    with running_loop() as loop:
        registry.register(AdapterGauge(loop, lambda: [status]))
        assert registry.get_sample_value("trivet_adapter_resident", labels) == 1
        loop.call_soon_threadsafe(busy.wait, 10)
        time.sleep(0.01)
        assert registry.get_sample_value("trivet_adapter_resident", labels) == 1
        busy.set()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)  # what waits is done before the loop stops


def test_what_no_request_asked_for_has_an_account_of_its_own() -> None:
    registry, prices = CollectorRegistry(), {"local": Price(2.0, 0.5, 8.0)}
    account = WarmupAccount(Metrics(registry), prices)
    account.started("local")
    account.primed("local", Chunk("a", 1, engine_at=1.0, input_tokens=100, cached_tokens=64))
    account.primed("free", Chunk("a", 1, engine_at=1.0, input_tokens=10, cached_tokens=0))

    def value(name: str, backend: str, purpose: str, **label: str) -> float | None:
        return registry.get_sample_value(f"trivet_warmup_{name}", {"backend": backend, "purpose": purpose, **label})

    assert value("tokens_total", "local", "priming", kind="input_uncached") == 36
    assert value("tokens_total", "local", "priming", kind="input_cached") == 64
    assert value("tokens_total", "local", "start", kind="output") == 1
    assert value("cost_usd_total", "local", "priming", component="input") == pytest.approx(36 * 2.0 / 1e6)
    assert value("tokens_total", "free", "priming", kind="input_uncached") == 10
    assert value("cost_usd_total", "free", "priming", component="input") is None


def test_what_a_machine_costs_is_counted_up_to_the_scrape() -> None:
    registry, now = CollectorRegistry(), 0
    machine = MachineTime(rate=3_600 * NANO, prompt_weight=100, now=0)  # a dollar a second
    with running_loop() as loop:
        registry.register(MachineCounters(loop, {"local": machine}, lambda: now))
        now = 3 * NANO
        loop.call_soon_threadsafe(machine.enter, MachineState.UP, now)
        now = 8 * NANO
        for name in ("machine_seconds", "machine_cost_usd"):
            for account, expected in (("down", 3), ("idle", 5), ("requests", 0)):
                labels = {"backend": "local", "account": account}
                assert registry.get_sample_value(f"trivet_{name}_total", labels) == expected
