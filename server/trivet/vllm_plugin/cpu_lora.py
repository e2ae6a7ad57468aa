"""vLLM plugin: base and LoRA requests in one batch on a CPU, and no copy of an adapter's matrices for each token.

vLLM 0.32 marks the rows of base requests with adapter index -1, and its CPU operators then gather `weights[-1]`: once
all adapter slots are full, base requests are answered with the last slot's adapter, and their KV goes into the prefix
cache. Zeroing those rows after the shrink (x A) is enough, as the expand (x A B) then adds nothing; an embedding has no
shrink, it takes rows of A (for base rows those of the first slot), so what goes into the expand is zeroed as well.
Upstream: pull requests 48421 and 49656 of vllm-project/vllm.

`cpu_lora_groups` keeps most of this from being asked: it knows which rows have an adapter. The operators are mended
all the same, for whoever calls them.

The operators also copy an adapter's matrix for each row. From `MANY` rows on, which a prompt has, the rows are
multiplied adapter by adapter instead: the same products, summed in another order.

vLLM calls `register` in every process of its own (entry point group `vllm.general_plugins`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from trivet.vllm_plugin import cpu_lora_groups
from trivet.vllm_plugin.versions import is_checked, running

CHECKED_VERSIONS = ("0.32.0",)
MANY = 24  # rows; with fewer, sorting them out takes as long as the copies
RUNS = 8  # of rows of one adapter in a step; with more, all rows of an adapter are gathered


def register() -> None:
    """Mend the CPU operators, or, on a version that was not checked, refuse to serve LoRA on a CPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    if is_checked(CHECKED_VERSIONS):
        mend(lora_ops, punica_cpu)
        cpu_lora_groups.mend(punica_cpu.PunicaWrapperCPU)
    else:
        refuse(punica_cpu, running())


def mend(*modules: Any) -> None:
    """Put the corrected operators in their places in each of the modules that look them up by name."""
    for module in modules:
        if module.bgmv_shrink.__module__ != __name__:
            module.bgmv_shrink = without_base_rows(module.bgmv_shrink)
        if module.bgmv_expand.__module__ != __name__:
            module.bgmv_expand = with_no_base_input(module.bgmv_expand)
        if module.bgmv_expand_slice.__module__ != __name__:
            module.bgmv_expand_slice = by_adapter(module.bgmv_expand_slice)


def without_base_rows(shrink: Callable[..., None]) -> Callable[..., None]:
    """Wrap `bgmv_shrink(inputs[rows, in], weights, output[rows, rank], indices[rows], scaling)`."""

    def bgmv_shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
        if len(indices) < MANY:
            shrink(inputs, weights, output, indices, scaling)
            output.masked_fill_((indices < 0).unsqueeze(1), 0)
            return
        output.zero_()
        for rows, product in _products(inputs, weights, output.dtype, indices):
            output[rows, : product.shape[1]] = scaling * product

    return bgmv_shrink


def with_no_base_input(expand: Callable[..., None]) -> Callable[..., None]:
    """Wrap `bgmv_expand(inputs[rows, rank], weights, output[rows, out], indices[rows], add_inputs)`."""

    def bgmv_expand(inputs: Any, weights: Any, output: Any, indices: Any, add_inputs: bool = True) -> None:
        if len(indices) < MANY:
            expand(inputs.masked_fill((indices < 0).unsqueeze(1), 0), weights, output, indices, add_inputs)
            return
        _expand(inputs, weights, output[:, : weights.shape[-2]], indices, add_inputs)

    return bgmv_expand


def by_adapter(expand: Callable[..., None]) -> Callable[..., None]:
    """Wrap `bgmv_expand_slice(inputs[rows, rank], weights, output, indices[rows], offset, size, add_inputs)`.

    Its inputs come from a shrink, so those of base rows are zero already.
    """

    def bgmv_expand_slice(
        inputs: Any, weights: Any, output: Any, indices: Any, offset: int, size: int, add_inputs: bool = True
    ) -> None:
        if len(indices) < MANY:
            expand(inputs, weights, output, indices, offset, size, add_inputs)
            return
        _expand(inputs, weights, output[:, offset : offset + size], indices, add_inputs)

    return bgmv_expand_slice


def _expand(inputs: Any, weights: Any, output: Any, indices: Any, add_inputs: bool) -> None:
    if not add_inputs:
        output.zero_()
    for rows, product in _products(inputs, weights, output.dtype, indices):
        output[rows] += product[:, : output.shape[1]]


def _products(inputs: Any, weights: Any, dtype: Any, indices: Any) -> Iterator[tuple[Any, Any]]:
    """For each adapter, the rows that it has and `inputs[rows] @ weights[adapter].T`; none for those of the base model.

    A run of rows of one adapter, as a prompt has them, is taken as a slice: nothing is gathered.
    `weights` is [adapters, out, in], or [adapters, 1, out, in] as vLLM stacks them.
    """
    matrices = weights.squeeze(1) if weights.dim() == 4 else weights
    inputs = inputs.to(dtype)
    adapters, counts = (one.tolist() for one in indices.unique_consecutive(return_counts=True))
    if len(adapters) <= RUNS:
        ends = list(accumulate(counts))
        groups = [
            (adapter, slice(end - count, end)) for adapter, count, end in zip(adapters, counts, ends, strict=True)
        ]
    else:
        groups = [(adapter, (indices == adapter).nonzero().squeeze(1)) for adapter in sorted(set(adapters))]
    for adapter, rows in groups:
        if adapter >= 0:
            yield rows, inputs[rows] @ matrices[adapter].to(dtype).T


def refuse(punica_cpu: Any, version: str) -> None:
    """Make vLLM fail at its start, as soon as it prepares to serve LoRA on a CPU."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            f"vLLM {version} may answer base requests with an adapter's weights on a CPU; the mend was checked for "
            f"{', '.join(CHECKED_VERSIONS)} only. Install one of these, or turn LoRA off (max_loras 0)."
        )

    punica_cpu.PunicaWrapperCPU.__init__ = fail
