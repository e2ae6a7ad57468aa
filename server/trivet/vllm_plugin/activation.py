"""Where an activated LoRA (aLoRA) begins to act in a prompt.

Greenewald et al., arXiv 2504.12397: such an adapter acts from its invocation on, a sequence of tokens that its
configuration names (`alora_invocation_tokens`), so that the keys and values of all that stands before are the base
model's. As in PEFT, the last occurrence in the prompt counts, and what is generated comes after it. A request may say
where instead (`activated_from`): then nothing is looked for, and no text that happens to encode to the invocation can
act as one.

vLLM's scheduler and its workers are processes of their own. Both ask `start_of`, of the same prompt and the same
adapter, so that they agree about which tokens are whose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

CONFIG = "adapter_config.json"
FIELD = "alora_invocation_tokens"
NEVER = 1 << 62  # a start that no token reaches
_START = "trivet_activated_from"
_ADAPTERS_REMEMBERED = 4096


def activated_from(start: int) -> dict[str, Any]:
    """The `extra_args` of a request whose adapter acts from token `start` of the prompt on."""
    return {_START: start}


def start_of(lora: Any, prompt: Sequence[int] | None, sampling: Any) -> int:
    """The first token that the request's adapter acts on: 0 for a plain LoRA, NEVER where it is not invoked.

    `lora`: vLLM's `LoRARequest` or None, `sampling`: its `SamplingParams` or None. A prompt of embeddings alone has no
    tokens, and so no invocation.
    """
    invocation = () if lora is None else invocation_of(lora.lora_path)
    if not invocation:
        return 0
    if prompt is None:
        return NEVER
    told = (getattr(sampling, "extra_args", None) or {}).get(_START)
    if isinstance(told, int) and not isinstance(told, bool):
        return min(max(told, 0), len(prompt))
    return last_occurrence(prompt, invocation)


def last_occurrence(prompt: Sequence[int], invocation: Sequence[int]) -> int:
    """Where the last occurrence begins; NEVER without one. In time linear in the prompt for invocations of few ids."""
    size, first, wanted = len(invocation), invocation[0], list(invocation)
    for at in range(len(prompt) - size, -1, -1):
        if prompt[at] == first and list(prompt[at : at + size]) == wanted:
            return at
    return NEVER


@lru_cache(maxsize=_ADAPTERS_REMEMBERED)
def invocation_of(path: str) -> tuple[int, ...]:
    """The invocation of the adapter in this folder; empty for a plain LoRA, and for what is not there or not readable.

    That is the same answer in each of vLLM's processes as long as a folder of this name never changes. Where a folder
    cannot be read, the worker cannot load the adapter either.
    """
    try:
        content = json.loads((Path(path) / CONFIG).read_text(encoding="utf-8"))
        return tuple(int(token) for token in content.get(FIELD) or ())
    except (OSError, ValueError, TypeError, AttributeError):
        return ()
