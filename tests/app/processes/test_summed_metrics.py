"""Metrics of several processes, added up."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from trivet.app.processes.summed_metrics import SummedMetrics


class Process:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.asked = Counter("asked", "Requests.", ["route"], registry=self.registry)
        self.seconds = Histogram("seconds", "Time.", buckets=(1.0, 2.0), registry=self.registry)
        self.running = Gauge("vllm:running", "Now.", registry=self.registry)

    @property
    def text(self) -> str:
        """As a listener tells it: without the times at which series began."""
        lines = generate_latest(self.registry).decode().splitlines(keepends=True)
        return "".join(line for line in lines if "_created" not in line)


def summed(*told: tuple[str, Process], ended: str = "") -> CollectorRegistry:
    metrics, registry = SummedMetrics(), CollectorRegistry()
    for name, process in told:
        metrics.update(name, process.text)
    if ended:
        metrics.end(ended)
    registry.register(metrics)
    return registry


def test_counts_are_added_up_and_states_stand_beside_each_other() -> None:
    one, two = Process(), Process()
    one.asked.labels("a").inc(2)
    two.asked.labels("a").inc(3)
    two.asked.labels("b").inc()
    one.seconds.observe(0.5)
    two.seconds.observe(1.5)
    one.running.set(4)
    registry = summed(("0", one), ("1", two))
    assert registry.get_sample_value("asked_total", {"route": "a"}) == 5
    assert registry.get_sample_value("asked_total", {"route": "b"}) == 1
    assert registry.get_sample_value("seconds_bucket", {"le": "1.0"}) == 1
    assert registry.get_sample_value("seconds_bucket", {"le": "+Inf"}) == 2
    assert registry.get_sample_value("seconds_sum") == 2
    assert registry.get_sample_value("vllm:running", {"process": "0"}) == 4
    assert registry.get_sample_value("vllm:running", {"process": "1"}) == 0


def test_what_an_ended_process_counted_stays_when_its_successor_begins_anew() -> None:
    one, two = Process(), Process()
    one.asked.labels("a").inc(2)
    metrics, registry = SummedMetrics(), CollectorRegistry()
    registry.register(metrics)
    metrics.update("0", one.text)
    metrics.end("0")
    assert registry.get_sample_value("asked_total", {"route": "a"}) == 2
    assert registry.get_sample_value("vllm:running", {"process": "0"}) is None
    two.asked.labels("a").inc()
    metrics.update("0", two.text)
    metrics.update("0", two.text)
    assert registry.get_sample_value("asked_total", {"route": "a"}) == 3


def test_the_sum_is_a_whole_exposition_again() -> None:
    one, two = Process(), Process()
    two.asked.labels('quo"te\n').inc()
    text = generate_latest(summed(("0", one), ("1", two), ended="1")).decode()
    again = SummedMetrics()
    again.update("all", text)
    assert {family.name for family in again.collect()} == {"asked", "seconds", "vllm:running"}
    assert text.count("# TYPE asked_total counter") == 1
