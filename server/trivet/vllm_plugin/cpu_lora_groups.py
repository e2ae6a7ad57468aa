"""Part of the plugin `cpu_lora`: which rows of a step are which adapter's is found out once for the step.

vLLM's CPU wrapper runs its operators for each layer of each step, whoever asks: with LoRA on and no adapter in the
batch it copies and multiplies zeros. Here the rows are sorted out when vLLM tells the wrapper of a step's adapters, and
each layer then multiplies the rows that an adapter has, and nothing where none has any.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from trivet.vllm_plugin.wrapping import wrapped_by, wraps

_TOKENS = "_trivet_token_groups"
_SAMPLED = "_trivet_sampled_groups"

Groups = tuple[tuple[int, Any], ...]
"""Slots of adapters, and the rows of each: a slice, or a tensor of numbers where they lie apart."""
RUNS = 8  # of rows of one adapter in a step; with more, all rows of an adapter are gathered


def mend(wrapper: Any) -> None:
    """Replace what vLLM's class `PunicaWrapperCPU` does for a linear layer, an embedding and the logits."""
    if wrapped_by(wrapper.update_metadata, __name__):
        return
    theirs = wrapper.update_metadata

    def update_metadata(self: Any, *given: Any, **named: Any) -> None:
        theirs(self, *given, **named)
        setattr(self, _TOKENS, groups_of(self.token_lora_indices))
        setattr(self, _SAMPLED, groups_of(self.sampler_indices))

    wrapper.update_metadata = wraps(update_metadata, theirs)
    wrapper.add_lora_linear = wraps(add_lora_linear, wrapper.add_lora_linear)
    wrapper.add_lora_embedding = wraps(add_lora_embedding, wrapper.add_lora_embedding)
    wrapper.add_lora_logits = wraps(add_lora_logits, wrapper.add_lora_logits)


def groups_of(indices: Any) -> Groups:
    """Of each row's slot, -1 for the base model's."""
    slots, counts = (one.tolist() for one in indices.unique_consecutive(return_counts=True))
    if len(slots) <= RUNS:
        ends = accumulate(counts)
        runs = ((slot, slice(end - count, end)) for slot, count, end in zip(slots, counts, ends, strict=True))
        return tuple(run for run in runs if run[0] >= 0)
    return tuple((slot, (indices == slot).nonzero().squeeze(1)) for slot in sorted(set(slots)) if slot >= 0)


def add_lora_linear(
    self: Any, y: Any, x: Any, lora_a_stacked: Any, lora_b_stacked: Any, scale: float, output_slices: Any, **_: Any
) -> None:
    """`y[:, slice] += scale * x @ A.T @ B.T` for each slice, in the rows that have an adapter.

    y: [rows, out], x: [rows, in], A: [slots, 1, rank, in], B: [slots, 1, size of the slice, rank].
    """
    groups: Groups = getattr(self, _TOKENS, ())
    if groups:
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
    for slot, rows in groups:
        mine, begin = x[rows], 0
        for a, b, size in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            _add(y[:, begin : begin + size], _shrunk(mine, a, slot, scale), b, slot, rows)
            begin += size


def add_lora_embedding(self: Any, y: Any, x: Any, lora_b_stacked: Any, add_inputs: bool = True, **_: Any) -> None:
    """`y += x @ B.T` in the rows that have an adapter. y: [rows, out], x: [rows, rank] taken from A already."""
    if not add_inputs:
        y.zero_()
    for slot, rows in getattr(self, _TOKENS, ()):
        _add(y, x[rows], lora_b_stacked, slot, rows)


def add_lora_logits(
    self: Any, y: Any, x: Any, lora_a_stacked: Any, lora_b_stacked: Any, scale: float, **_: Any
) -> None:
    """`y += scale * x @ A.T @ B.T`. y: [sampled rows, vocabulary], x: [sampled rows, in]."""
    groups: Groups = getattr(self, _SAMPLED, ())
    if groups:
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
    for slot, rows in groups:
        _add(y, _shrunk(x[rows], lora_a_stacked, slot, scale), lora_b_stacked, slot, rows)


def _shrunk(x: Any, weights: Any, slot: int, scale: float) -> Any:
    """In float32, as vLLM has it."""
    product = x.float() @ _matrix(weights, slot).float().T
    return product if scale == 1.0 else product * scale


def _add(y: Any, x: Any, weights: Any, slot: int, rows: Any) -> None:
    """Either may be padded beyond what both have."""
    product = x.to(y.dtype) @ _matrix(weights, slot).to(y.dtype).T
    width = min(product.shape[1], y.shape[1])
    if isinstance(rows, slice):
        y[rows, :width] += product[:, :width]
    else:
        y[:, :width].index_add_(0, rows, product[:, :width])


def _matrix(weights: Any, slot: int) -> Any:
    """Of [slots, out, in], or [slots, 1, out, in]."""
    found = weights[slot]
    return found[0] if found.dim() == 3 else found
