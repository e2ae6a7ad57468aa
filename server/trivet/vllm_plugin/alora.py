"""vLLM plugin: activated LoRA (aLoRA), whose adapters share the base model's KV cache up to their invocation.

vLLM 0.32 refuses such adapters. Three things make it serve them:

- `PEFTHelper._validate_features` lets them through;
- `kv_cache_utils.generate_block_hash_extra_keys` leaves the adapter out of the keys of blocks that end before the
  invocation, so that these are the base model's own. The key of the block in which the adapter begins to act says at
  which token: the same tokens with another beginning are other keys and values;
- the runner's map from tokens to adapters (`make_lora_inputs`) names the base model for what stands before. This is
  `InputBatch` of the runner V1, which serves on CPUs, and `LoraState` of V2, which vLLM takes by default on GPUs
  (`alora_v2`).

`activation.start_of` says for all of them where a request's adapter begins to act. On a version that it was not checked
for nothing is replaced, and vLLM's own refusal says why. vLLM calls `register` in every process of its own (entry point
group `vllm.general_plugins`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivet.vllm_plugin.activation import NEVER, start_of
from trivet.vllm_plugin.versions import is_checked, running
from trivet.vllm_plugin.wrapping import wrapped_by, wraps

CHECKED_VERSIONS = ("0.32.0",)
_REFUSAL = "aLoRA"  # what vLLM's own complaint says
_STARTS = "_trivet_activation_starts"
_START = "_trivet_activation_start"

Keys = tuple[tuple[Any, ...] | None, int]


def register() -> None:
    """Put our functions in the places of vLLM's, or, on a version that was not checked, say so where it refuses."""
    from vllm.lora.peft_helper import PEFTHelper

    if not is_checked(CHECKED_VERSIONS):
        explain(PEFTHelper, running())
        return
    from vllm.platforms import current_platform
    from vllm.v1.core import block_pool, kv_cache_utils
    from vllm.v1.worker.gpu_input_batch import InputBatch

    if current_platform.is_cpu():
        from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

        mend_buffers(PunicaWrapperCPU)
    else:
        from trivet.vllm_plugin import alora_v2

        alora_v2.register()
    mend_keys(kv_cache_utils, block_pool)
    mend_batch(InputBatch)
    mend_check(PEFTHelper)  # last: an adapter gets through when all else is in its place


def active() -> bool:
    """Whether vLLM, as it is in this process, serves such adapters."""
    from vllm.lora.peft_helper import PEFTHelper
    from vllm.v1.core import kv_cache_utils

    keys = kv_cache_utils.generate_block_hash_extra_keys
    return wrapped_by(PEFTHelper.validate_legal, __name__) and wrapped_by(keys, __name__)


def explain(helper: Any, version: str) -> None:
    """Make vLLM's refusal say what would serve these adapters."""
    if not wrapped_by(helper._validate_features, __name__):
        theirs = helper._validate_features

        def _validate_features(self: Any) -> list[str]:
            found: list[str] = theirs(self)
            checked = ", ".join(CHECKED_VERSIONS)
            told = f"This is vLLM {version}, and Trivet's plugin for aLoRA was checked for {checked} only."
            return [*found, told] if any(_REFUSAL in one for one in found) else found

        helper._validate_features = wraps(_validate_features, theirs)


def mend_check(helper: Any) -> None:
    """Let such adapters through in vLLM's `PEFTHelper`, but where its kernels would leave some tokens out."""
    if wrapped_by(helper.validate_legal, __name__):
        return
    features, legal = helper._validate_features, helper.validate_legal

    def _validate_features(self: Any) -> list[str]:
        return [one for one in features(self) if _REFUSAL not in one]

    def validate_legal(self: Any, lora_config: Any) -> None:
        legal(self, lora_config)
        # Graphs that are specialised by the number of adapters count a step's requests, and the base model's tokens of
        # these would be one more group than the graph has room for.
        if self.alora_invocation_tokens and getattr(lora_config, "specialize_active_lora", False):
            raise ValueError("aLoRA is not served with specialize_active_lora; turn it off.")

    helper._validate_features = wraps(_validate_features, features)
    helper.validate_legal = wraps(validate_legal, legal)


def mend_keys(*modules: Any) -> None:
    """Replace the function in each of the modules that look it up by name."""
    for module in modules:
        theirs = module.generate_block_hash_extra_keys
        if not wrapped_by(theirs, __name__):
            module.generate_block_hash_extra_keys = wraps(base_keys_first(theirs), theirs)


def base_keys_first(keys_of: Callable[..., Keys]) -> Callable[..., Keys]:
    """Wrap `generate_block_hash_extra_keys(request, start, end, multimodal)`."""

    def generate_block_hash_extra_keys(request: Any, start: int, end: int, start_mm_idx: int) -> Keys:
        keys, index = keys_of(request, start, end, start_mm_idx)
        if request.lora_request is None:
            return keys, index
        acts_from = _start(request)
        if acts_from <= start:
            return keys, index
        if end <= acts_from:
            return tuple(key for key in keys or () if key[0] != "lora") or None, index
        within = acts_from - start
        return tuple((*key, within) if key[0] == "lora" else key for key in keys or ()), index

    return generate_block_hash_extra_keys


def _start(request: Any) -> int:
    """Of the scheduler's request, whose prompt may grow in a session that streams its input."""
    length = request.num_prompt_tokens
    known = getattr(request, _START, None)
    if known is None or known[0] != length:
        known = length, start_of(request.lora_request, request.prompt_token_ids, request.sampling_params)
        setattr(request, _START, known)
    found: int = known[1]
    return found


def mend_batch(batch: Any) -> None:
    """Replace what vLLM's class `InputBatch` knows of a request's adapter."""
    if not wrapped_by(batch.make_lora_inputs, __name__):
        add, make = batch.add_request, batch.make_lora_inputs
        batch.add_request = wraps(with_start(add), add)
        batch.make_lora_inputs = wraps(base_tokens_first(make), make)


def with_start(add: Callable[..., int]) -> Callable[..., int]:
    """Wrap `InputBatch.add_request(self, request)`; called again when a request comes back after it was preempted."""

    def add_request(self: Any, request: Any) -> int:
        index = add(self, request)
        starts: dict[str, int] = self.__dict__.setdefault(_STARTS, {})
        found = start_of(request.lora_request, request.prompt_token_ids, request.sampling_params)
        if found:
            starts[request.req_id] = found
        else:
            starts.pop(request.req_id, None)
        return index

    return add_request


def base_tokens_first(make: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `InputBatch.make_lora_inputs(self, scheduled[requests], sampled[requests])`.

    It gives the adapter of each sampled token, that of each scheduled one, and the requests' adapters. A request's
    scheduled tokens begin at `num_computed_tokens_cpu`, and the sampled ones are the last of them.
    """

    def make_lora_inputs(self: Any, num_scheduled_tokens: Any, num_sampled_tokens: Any) -> Any:
        sampled, scheduled, active_loras = make(self, num_scheduled_tokens, num_sampled_tokens)
        starts: dict[str, int] = self.__dict__.get(_STARTS) or {}
        ids = self.req_ids
        if len(starts) > 4 * len(ids) + 64:  # of requests that are gone
            for gone in starts.keys() - set(ids):
                del starts[gone]
        begins = [starts.get(one, 0) for one in ids]
        if not any(begins):
            return sampled, scheduled, active_loras
        at = self.num_computed_tokens_cpu[: len(ids)]
        ends = at + num_scheduled_tokens
        scheduled = without_base(scheduled, begins, at, num_scheduled_tokens)
        sampled = without_base(sampled, begins, ends - num_sampled_tokens, num_sampled_tokens)
        return sampled, scheduled, active_loras

    return make_lora_inputs


def without_base(adapters: tuple[int, ...], begins: Any, at: Any, counts: Any) -> tuple[int, ...]:
    """The adapter of each token, 0 for those that stand before where their request's adapter begins to act.

    `adapters`: of `counts[i]` tokens of each request i, one after the other, which begin at its token `at[i]`.
    """
    import numpy as np

    begins, at, counts = (np.asarray(one, dtype=np.int64) for one in (begins, at, counts))
    mapping = np.array(adapters, dtype=np.int64)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    position = np.arange(len(mapping)) - first + np.repeat(at, counts)
    mapping[position < np.repeat(np.minimum(begins, NEVER), counts)] = 0
    return tuple(mapping.tolist())


def mend_buffers(wrapper: Any) -> None:
    """Make room in `PunicaWrapperCPU` for as many runs of tokens of one adapter as there are tokens in a step.

    vLLM has room for one run a request, but a step may hold tokens of the base model and of the adapter of each.
    """
    if not wrapped_by(wrapper.__init__, __name__):
        theirs = wrapper.__init__

        def __init__(self: Any, max_num_batched_tokens: int, max_batches: int, device: Any, **named: Any) -> None:
            theirs(self, max_num_batched_tokens, max(max_batches, max_num_batched_tokens), device, **named)

        wrapper.__init__ = wraps(__init__, theirs)
