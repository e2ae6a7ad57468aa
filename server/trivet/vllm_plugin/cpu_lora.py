"""vLLM plugin: base and LoRA requests in one batch on a CPU.

vLLM 0.32 marks the rows of base requests with adapter index -1, and its CPU operators then gather `weights[-1]`: once
all adapter slots are full, base requests are answered with the last slot's adapter, and their KV goes into the prefix
cache. Zeroing those rows after the shrink (x A) is enough, as the expand (x A B) then adds nothing; an embedding has no
shrink, it takes rows of A (for base rows those of the first slot), so what goes into the expand is zeroed as well.
Upstream: pull requests 48421 and 49656 of vllm-project/vllm. vLLM calls `register` in every process
of its own (entry point group `vllm.general_plugins`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CHECKED_VERSIONS = ("0.32.0",)


def register() -> None:
    """Mend the CPU operators, or, on a version that was not checked, refuse to serve LoRA on a CPU."""
    import vllm
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    version = str(vllm.__version__).partition("+")[0]
    if version in CHECKED_VERSIONS:
        mend(lora_ops, punica_cpu)
    else:
        refuse(punica_cpu, version)


def mend(*modules: Any) -> None:
    """Put the corrected operators in their places in each of the modules that look them up by name."""
    for module in modules:
        if module.bgmv_shrink.__module__ != __name__:
            module.bgmv_shrink = without_base_rows(module.bgmv_shrink)
        if module.bgmv_expand.__module__ != __name__:
            module.bgmv_expand = with_no_base_input(module.bgmv_expand)


def without_base_rows(shrink: Callable[..., None]) -> Callable[..., None]:
    """Wrap `bgmv_shrink(inputs, weights, output[rows, rank], indices[rows], scaling)`."""

    def bgmv_shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
        shrink(inputs, weights, output, indices, scaling)
        output.masked_fill_((indices < 0).unsqueeze(1), 0)

    return bgmv_shrink


def with_no_base_input(expand: Callable[..., None]) -> Callable[..., None]:
    """Wrap `bgmv_expand(inputs[rows, rank], weights, output, indices[rows], add_inputs)`."""

    def bgmv_expand(inputs: Any, weights: Any, output: Any, indices: Any, add_inputs: bool = True) -> None:
        expand(inputs.masked_fill((indices < 0).unsqueeze(1), 0), weights, output, indices, add_inputs)

    return bgmv_expand


def refuse(punica_cpu: Any, version: str) -> None:
    """Make vLLM fail at its start, as soon as it prepares to serve LoRA on a CPU."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            f"vLLM {version} may answer base requests with an adapter's weights on a CPU; the mend was checked for "
            f"{', '.join(CHECKED_VERSIONS)} only. Install one of these, or turn LoRA off (max_loras 0)."
        )

    punica_cpu.PunicaWrapperCPU.__init__ = fail
