"""Greedy answers of activated adapters, chunked, batched and out of a cache that others filled, beside PEFT's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.shared_prefix.world import INVOCATION, Ids, World, ids_by_text, running, tokens
from trivet.types.adapter import StagedAdapter

TOKENS, ADAPTERS = 16, 3
TIE = 1e-3  # logits, of a random model whose logits are large: two orders of summing differ by less
ROOM: dict[str, Any] = {"engine_args": {"max_num_batched_tokens": 96}}


@dataclass
class Parity:
    """Of one adapter. `tied`: answers that leave PEFT's at a token that PEFT finds as likely as its own."""

    adapter: str
    prompts: int
    equal: int = 0
    tied: int = 0
    wrong: int = 0
    widest: float = 0.0


async def measure(folder: Path, prompts: int, tell: Callable[[str], None]) -> list[Parity]:
    """All at once, in no order, base requests among them."""
    numbers = range(prompts)
    async with running(folder, **ROOM) as world:
        adapters = [await world.adapter(f"parity-{seed}", "activated", seed) for seed in range(ADAPTERS)]
        cases = [(index, number) for index in range(-1, ADAPTERS) for number in numbers]
        random.Random(2).shuffle(cases)
        given = await _answers(world, adapters, cases)
    tell(f"{len(given)} answers; now PEFT's")
    found = []
    for index, adapter in enumerate(adapters):
        parity = Parity(str(adapter.ref), prompts)
        model = _in_peft(folder / "model", adapter)
        for number in numbers:
            _compare(model, prompt(number), given[index, number], parity)
        tell(f"{parity}")
        found.append(parity)
    return found


def prompt(number: int) -> Ids:
    """Of 60 to 500 tokens with a beginning that others share; in every other one a user says the invocation too."""
    said = tokens(500 + number, 20 + 11 * number % 180)
    once_more = INVOCATION if number % 2 else ()
    return (*tokens(number % 5, 40 + 60 * (number % 5)), *once_more, *said)


async def _answers(
    world: World, adapters: Sequence[StagedAdapter], cases: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], Ids]:
    async def ask(index: int, number: int) -> Ids:
        adapter = adapters[index] if index >= 0 else None
        answer = await world.ask(prompt(number), adapter, TOKENS, top_logprobs=0)
        return tuple(ids[one.written.token] for chunk in answer.chunks for one in chunk.logprobs)

    ids = ids_by_text(world.folder / "model")
    given = await asyncio.gather(*(ask(*case) for case in cases))
    return dict(zip(cases, given, strict=True))


def _in_peft(model: Path, adapter: StagedAdapter) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    return PeftModel.from_pretrained(base, adapter.path).eval()


def _compare(model: Any, said: Ids, given: Ids, parity: Parity) -> None:
    """Of each given token whether PEFT finds none likelier; where it does, by how much at the first one."""
    import torch

    asked = (*said, *INVOCATION)
    with torch.no_grad():
        offsets = [len(INVOCATION) + len(given)]
        logits = model(torch.tensor([[*asked, *given]]), alora_offsets=offsets).logits[0, len(asked) - 1 : -1]
    for place, token in enumerate(given):
        gap = float(logits[place].max() - logits[place, token])
        if int(logits[place].argmax()) != token:
            parity.widest = max(parity.widest, gap)
            parity.tied, parity.wrong = parity.tied + (gap < TIE), parity.wrong + (gap >= TIE)
            return
    parity.equal += len(given) == TOKENS
    parity.wrong += len(given) != TOKENS
