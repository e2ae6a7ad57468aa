"""The adapter slots of each backend, from its configuration, with their metrics."""

from __future__ import annotations

from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.config import Config
from trivet.config.schema import EmbeddedBackend
from trivet.metering.metrics import Metrics


def adapter_slots(config: Config, metrics: Metrics) -> dict[str, AdapterSlots]:
    """By the backend's name."""
    return {name: _slots_of(config, name, metrics) for name in config.file.backends}


def _slots_of(config: Config, name: str, metrics: Metrics) -> AdapterSlots:
    section = config.file.backends[name]
    count, quantum = 1, 0.0  # of nodes, each shares out its own: there the engine is
    if isinstance(section, EmbeddedBackend):
        count, quantum = section.max_loras, section.adapter_quantum_ms / 1000
    slots = AdapterSlots(
        slots=count,
        quantum=quantum,
        on_wait=metrics.adapter_wait.labels(name).observe,
    )
    metrics.adapter_waiting.labels(name).set_function(lambda: slots.waiting)
    metrics.adapter_slots.labels(name).set_function(lambda: slots.leased)
    return slots
