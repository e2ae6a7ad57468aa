"""vLLM plugin: a request with a seed whose prompt is computed in several steps does not end a CPU engine.

vLLM samples for every request of a step, and throws away what it sampled for one whose prompt is not at its end. So
that this costs no random number, vLLM 0.32 sets the offset of the request's generator back. A CPU's generators have no
offset: the step raised RuntimeError, and the engine died with all its requests. One client could do that to all
others, with a seed and a prompt that does not fit into what is left of a step.

Here the state of such a generator is kept before the step samples and put back after it. On a GPU nothing is changed.

vLLM calls `register` in every process of its own (entry point group `vllm.general_plugins`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from trivet.vllm_plugin.versions import is_checked_cpu
from trivet.vllm_plugin.wrapping import wrapped_by, wraps

CHECKED_VERSIONS = ("0.32.0",)


def register() -> None:
    """Wrap two methods of the model runner, on a CPU and a version that was checked."""
    if not is_checked_cpu(CHECKED_VERSIONS):
        return
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner  # the CPU's own is derived from it

    mend(GPUModelRunner)


def mend(runner: Any) -> None:
    """Wrap them once."""
    if not wrapped_by(runner._sample, __name__):
        runner._sample = wraps(_keeping_states(runner._sample), runner._sample)
        runner._bookkeeping_sync = wraps(_without_generators(runner._bookkeeping_sync), runner._bookkeeping_sync)


def _keeping_states(sample: Any) -> Any:
    @functools.wraps(sample)
    def sampled(self: Any, *arguments: Any, **options: Any) -> Any:
        unfinished = np.nonzero(self.discard_request_mask.np[: self.input_batch.num_reqs])[0]
        generators = [self.input_batch.generators.get(int(row)) for row in unfinished]
        kept = [(generator, generator.get_state()) for generator in generators if generator is not None]
        output = sample(self, *arguments, **options)
        for generator, state in kept:
            generator.set_state(state)
        return output

    sampled.__module__ = __name__
    return sampled


def _without_generators(keep_books: Any) -> Any:
    """It asks for them only to set them back, which has been done."""

    @functools.wraps(keep_books)
    def kept(self: Any, *arguments: Any, **options: Any) -> Any:
        generators, self.input_batch.generators = self.input_batch.generators, {}
        try:
            return keep_books(self, *arguments, **options)
        finally:
            self.input_batch.generators = generators

    kept.__module__ = __name__
    return kept
