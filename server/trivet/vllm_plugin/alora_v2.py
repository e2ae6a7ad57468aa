"""Activated LoRA in vLLM's model runner V2, which it takes by default on GPUs; see `alora`.

The map from tokens to adapters is made before each step and copied into buffers that the captured graphs read, so that
a graph holds for any map. Two cases arise that plain LoRA does not have, and the kernels of 0.32 cover both: base
tokens within a request that has an adapter are rows of adapter -1, as those of base requests in a mixed batch are, and
a step in which no token is an adapter's leaves -1 alone in the buffer of active adapters, at which each kernel returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivet.vllm_plugin.activation import start_of
from trivet.vllm_plugin.alora import without_base
from trivet.vllm_plugin.wrapping import wrapped_by, wraps

_STARTS = "_trivet_activation_starts"
_REQUESTS = "_trivet_request_states"


def register() -> None:
    """Put our functions in the places of vLLM's. Imports the runner, which needs Triton."""
    from vllm.v1.worker.gpu.lora_utils import LoraState
    from vllm.v1.worker.gpu.model_runner import GPUModelRunner

    mend(GPUModelRunner, LoraState)


def mend(runner: Any, state: Any) -> None:
    """Replace what vLLM's classes `GPUModelRunner` and `LoraState` know of a request's adapter."""
    if not wrapped_by(state.make_lora_inputs, __name__):
        add, make = runner.add_requests, state.make_lora_inputs
        runner.add_requests = wraps(with_starts(add), add)
        state.make_lora_inputs = wraps(base_tokens_first(make), make)


def with_starts(add: Callable[..., None]) -> Callable[..., None]:
    """Wrap `GPUModelRunner.add_requests(self, scheduler_output)`; one that was preempted comes back as a new one."""

    def add_requests(self: Any, scheduler_output: Any) -> None:
        add(self, scheduler_output)
        known = self.lora_state.__dict__
        known[_REQUESTS] = self.req_states
        starts: dict[str, int] = known.setdefault(_STARTS, {})
        held = self.lora_state.lora_requests
        if len(starts) > 4 * len(held) + 64:  # of requests that are gone
            for gone in starts.keys() - held.keys():
                del starts[gone]
        for new in scheduler_output.scheduled_new_reqs:
            starts[new.req_id] = start_of(new.lora_request, new.prompt_token_ids, new.sampling_params)

    return add_requests


def base_tokens_first(make: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `LoraState.make_lora_inputs(self, req_ids, idx_mapping, scheduled[requests])`.

    It gives the adapter of each request's last token, that of each scheduled one, and the requests' adapters.
    """

    def make_lora_inputs(self: Any, req_ids: list[str], idx_mapping: Any, num_scheduled_tokens: Any) -> Any:
        last, scheduled, active_loras = make(self, req_ids, idx_mapping, num_scheduled_tokens)
        starts: dict[str, int] = self.__dict__.get(_STARTS) or {}
        begins = [starts.get(one, 0) for one in req_ids]
        if not any(begins):
            return last, scheduled, active_loras
        at = self.__dict__[_REQUESTS].num_computed_tokens_np[idx_mapping]
        scheduled = without_base(scheduled, begins, at, num_scheduled_tokens)
        last = without_base(last, begins, at + num_scheduled_tokens - 1, [1] * len(req_ids))
        return last, scheduled, active_loras

    return make_lora_inputs
