"""The embedded backend: vLLM in this process, its engine in a child of it."""

from __future__ import annotations

from collections.abc import Callable

from trivet.backends.engine.engine_metrics import EngineMetrics
from trivet.backends.engine_life import EngineState
from trivet.backends.engine_start import EngineStart
from trivet.backends.grammars.trials import OnTrial
from trivet.backends.launch.host import EngineHost
from trivet.backends.lora_registry import LoraRegistry
from trivet.backends.vllm_backend import VllmBackend
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.ports import MachineMeter


class EmbeddedVllm(VllmBackend):
    """Implements `ports.Backend`. It starts and ends its own engines."""

    def __init__(
        self,
        settings: EmbeddedSettings,
        on_state: Callable[[EngineState], None] | None = None,
        on_trial: OnTrial = lambda _seconds, _outcome: None,
        meter: MachineMeter | None = None,
        host: EngineHost | None = None,
    ) -> None:
        """See `VllmBackend`. `host` starts the engine on a CPU, unless it has ended."""
        metrics = EngineMetrics()
        self._start = EngineStart(settings, metrics, self._stepped, host)
        loras = LoraRegistry()
        super().__init__(settings, self._start, loras, metrics, on_state=on_state, on_trial=on_trial, meter=meter)

    def start_from(self, host: EngineHost | None) -> None:
        """From now on engines are started by `host`."""
        self._start.host = host
