"""vLLM plugin: on a CPU, ranks of tokens are counted without compiling anything.

With log probabilities vLLM 0.32 counts how many tokens are likelier than the chosen one, in a function that it has
compiled when it is first called: with a C++ compiler, in the engine's loop. The first request with log probabilities
held up all others for 26 s on two cores, and failed on a machine without a compiler. The function compares and adds up,
once a step; compiling it saves a copy of the logits' comparison, which on a CPU is small beside the model. On a GPU it
stays as it is: its compiler is part of what an engine needs there.

vLLM calls `register` in every process of its own (entry point group `vllm.general_plugins`).
"""

from __future__ import annotations

from typing import Any

from trivet.vllm_plugin.versions import is_checked_cpu

CHECKED_VERSIONS = ("0.32.0",)


def register() -> None:
    """Put the plain function into the sampler's place for it, on a CPU and a version that was checked."""
    if not is_checked_cpu(CHECKED_VERSIONS):
        return
    from vllm.v1.sample import sampler

    mend(sampler)


def mend(sampler: Any) -> None:
    """Replace `batched_count_greater_than` where the sampler looks it up by name."""
    sampler.batched_count_greater_than = ranks


def ranks(logprobs: Any, chosen: Any) -> Any:
    """How many values of a row are not below its chosen one: [rows, tokens] and [rows, 1] -> [rows]."""
    return (logprobs >= chosen).sum(-1)
