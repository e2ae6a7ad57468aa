"""What an engine says of each step, for who shares out the machine's time. Source: vLLM 0.32, `StatLoggerBase`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def step_logger(on_step: Callable[[int], None]) -> Callable[..., Any]:
    """A factory of vLLM's stat loggers. `on_step` is told, after the outputs of each step were handed over, how many
    prompt tokens were computed in it; on the event loop that reads the engine's outputs.

    Needs `enable_logging_iteration_details`.
    """
    from vllm.v1.metrics.loggers import StatLoggerBase

    class StepLogger(StatLoggerBase):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            """There is nothing to set up."""

        def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
            """Called by vLLM after each step."""
            details = None if scheduler_stats is None else scheduler_stats.iteration_details
            if details is not None and not details.is_dummy:
                on_step(details.num_ctx_tokens)

        def log_engine_initialized(self) -> None:
            """Nothing is logged."""

    return StepLogger
