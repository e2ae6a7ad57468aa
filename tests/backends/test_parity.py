"""What the embedded backend answers is what transformers and PEFT answer: the demo's weights, alone and adapted.

Float32 on a processor, greedy, token by token. The two sum in different orders, so their logits differ by some 1e-5;
where transformers' own two best tokens are nearer to each other than TIE, neither of them is wrong. That is the only
thing let through, for at most one answer in a hundred of a model, and the failure's text lists each with its gap.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.engine.demo_chats import ROOT, questions
from tests.support.engine.fixtures import SESSION_ENGINE, request, tiny_settings
from tests.support.engine.listening import Ids, heard, heard_engine, heard_of
from tests.support.engine.served_node import over_the_wire
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.types.adapter import StagedAdapter
from trivet.types.variant import VersionRef
from trivet.vllm_plugin.activation import last_occurrence

pytestmark = SESSION_ENGINE
WEIGHTS = ROOT / "models" / "demo" / "weights"
ADAPTERS = sorted(f"{path.parent.parent.name}@{path.parent.name}" for path in ROOT.glob("adapters/*/*/adapter.yaml"))
BASE, OVER_THE_WIRE = "base", "base over the wire"
SEED, PROMPTS, TOKENS = 20261122, 200, 24
GENERATED = 10  # every so many prompts the answer is also compared with that of transformers' slow `generate`
TIE = 1e-4  # logits
TIES = PROMPTS // 100


@dataclass(frozen=True)
class Difference:
    """Where an answer leaves that of transformers: `gap` is from its best logit, `best`, to that of `token`."""

    prompt: int
    place: int
    token: int
    best: int
    gap: float


@pytest.fixture(scope="module")
def prompts() -> list[Ids]:
    """Token ids of fresh prompts, of a few to some 500 tokens."""
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    found = [
        tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
        for messages in questions(SEED, PROMPTS)
    ]
    lengths = sorted(map(len, found))
    assert len(set(found)) == PROMPTS
    assert lengths[PROMPTS // 10] < 60
    assert lengths[-PROMPTS // 10] > 300
    return found


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StagedAdapter]:
    """All that there are, checked and copied as the server does: one that was trained on other weights is refused."""
    assert ADAPTERS
    settings = AdapterSettings((ROOT / "adapters",), tmp_path_factory.mktemp("staged"), WEIGHTS, max_rank=16)
    staging = AdapterStaging(settings)
    return {name: staging.stage(VersionRef.parse(name)) for name in ADAPTERS}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def answers(
    prompts: list[Ids], adapters: dict[str, StagedAdapter], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, list[Ids]]]:
    """What vLLM answers, by model: everything at once and in no order, so that batches mix base and adapters."""
    settings = tiny_settings(WEIGHTS, tmp_path_factory.mktemp("parity"), name="parity", max_lora_rank=16)
    cases: list[tuple[str, int]] = [(model, number) for model in (BASE, *adapters) for number in range(len(prompts))]
    random.Random(SEED).shuffle(cases)

    async def ask(backend: EmbeddedVllm, model: str, number: int) -> Ids:
        prompt, adapter = prompts[number], adapters.get(model)
        start = None if adapter is None or not adapter.invocation else last_occurrence(prompt, adapter.invocation)
        return (await heard(backend, request(prompt, adapter, TOKENS, activated_from=start)))[0]

    async with heard_engine(settings, adapters.values()) as backend:
        given = await asyncio.gather(*(asyncio.create_task(ask(backend, *case)) for case in cases))
        async with over_the_wire(backend, tmp_path_factory.mktemp("node"), ()) as remote:
            wanted = [
                request(prompt, None, TOKENS, request_id=f"wire-{number}") for number, prompt in enumerate(prompts)
            ]
            sent = await asyncio.gather(*(heard_of(remote, one) for one in wanted))
    by_case = dict(zip(cases, given, strict=True))
    found = {model: [by_case[model, number] for number in range(len(prompts))] for model in (BASE, *adapters)}
    yield {**found, OVER_THE_WIRE: list(sent)}


def reference(model: str, adapters: dict[str, StagedAdapter]) -> Any:
    """The same weights in transformers, with the adapter by PEFT."""
    base = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    return (
        base.eval() if model in (BASE, OVER_THE_WIRE) else PeftModel.from_pretrained(base, adapters[model].path).eval()
    )


@torch.no_grad()  # type: ignore[untyped-decorator]
def difference(model: Any, number: int, prompt: Ids, given: Ids) -> Difference | None:
    """The first one between an answer and the greedy one of transformers; None if they are equal.

    One pass over both: if each token is the likeliest after those before it, the answer is what greedy decoding gives.
    """
    logits = model(torch.tensor([prompt + given])).logits[0, len(prompt) - 1 :]
    for place, token in enumerate(given):
        best = int(logits[place].argmax())
        if best != token:
            return Difference(number, place, token, best, float(logits[place, best] - logits[place, token]))
    if len(given) < TOKENS and given[-1:] != (model.config.eos_token_id,):
        return Difference(number, len(given), -1, int(logits[-1].argmax()), float("inf"))
    return None


@torch.no_grad()  # type: ignore[untyped-decorator]
def generated(model: Any, prompt: Ids) -> Ids:
    """What transformers' own `generate` gives, for one prompt alone: no padding that could change a sum."""
    given = torch.tensor([prompt])
    made = model.generate(
        input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=TOKENS, do_sample=False
    )
    return tuple(made[0, len(prompt) :].tolist())


@pytest.mark.timeout(400)
@pytest.mark.parametrize("model", [BASE, OVER_THE_WIRE, *ADAPTERS])
async def test_answers_are_those_of_transformers(
    model: str, prompts: list[Ids], adapters: dict[str, StagedAdapter], answers: dict[str, list[Ids]]
) -> None:
    theirs, ours = reference(model, adapters), answers[model]
    compared = (difference(theirs, number, *pair) for number, pair in enumerate(zip(prompts, ours, strict=True)))
    found = [one for one in compared if one is not None]
    wrong = [one for one in found if one.gap >= TIE]
    assert not wrong, f"{len(wrong)} of {PROMPTS} answers differ by more than rounding: {wrong}"
    assert len(found) <= TIES, f"{len(found)} of {PROMPTS} answers differ by rounding, expected {TIES} at most: {found}"
    tied = {one.prompt for one in found}
    for number in range(0, PROMPTS, GENERATED):
        assert number in tied or ours[number] == generated(theirs, prompts[number]), number


async def test_an_engine_node_answers_what_the_embedded_engine_does(answers: dict[str, list[Ids]]) -> None:
    """The same prompts, in other batches: where ids differ, transformers finds the two as likely (above)."""
    differing = sum(one != other for one, other in zip(answers[BASE], answers[OVER_THE_WIRE], strict=True))
    assert differing <= TIES


async def test_the_models_do_not_answer_alike(answers: dict[str, list[Ids]]) -> None:
    """Else the comparison above would not see an adapter that was never applied."""
    for name in ADAPTERS:
        alike = sum(one == other for one, other in zip(answers[name], answers[BASE], strict=True))
        assert alike < PROMPTS * 0.8, name
