"""Activated LoRAs for the tiny model, and what PEFT says of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.engine.fixtures import staged
from tests.support.engine.tiny_model import adapter_files
from trivet.testing.adapters import AdapterFiles, write_adapter
from trivet.types.adapter import StagedAdapter


def acting_from(files: AdapterFiles, invocation: Sequence[int]) -> AdapterFiles:
    """The adapter, acting from its invocation on."""
    told = {"kind": "alora", "invocation": list(invocation)}
    config = files.config | {"alora_invocation_tokens": list(invocation)}
    return replace(files, config=config, manifest=files.manifest | told)


def activated_files(seed: int, invocation: Sequence[int]) -> AdapterFiles:
    """A random adapter that acts from its invocation on."""
    return acting_from(adapter_files(seed), invocation)


def activated(folder: Path, seed: int, invocation: Sequence[int]) -> StagedAdapter:
    """The same, written and as if it had been checked and copied."""
    return replace(staged(write_adapter(folder, activated_files(seed, invocation))), invocation=tuple(invocation))


def in_peft(model: Path, adapters: Mapping[str, StagedAdapter]) -> Any:
    """The model with all adapters in PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    first, *others = adapters
    adapted = PeftModel.from_pretrained(base, adapters[first].path, adapter_name=first)
    for name in others:
        adapted.load_adapter(adapters[name].path, adapter_name=name)
    return adapted.eval()


def gap(model: Any, prompt: Sequence[int], given: Sequence[int], start: int | None) -> float:
    """By how much the worst of the answer's tokens falls short of the likeliest one after those before it; logits.

    0 for the greedy answer. `model`: PEFT's, whose adapter acts from token `start` on; None for a plain one.
    """
    import torch

    offsets = {} if start is None else {"alora_offsets": [len(prompt) + len(given) - start]}
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *given]]), **offsets).logits[0, len(prompt) - 1 : -1]
    own = logits.gather(1, torch.tensor(given).unsqueeze(1)).squeeze(1)
    return float((logits.max(1).values - own).max())
