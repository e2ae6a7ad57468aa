"""How tokens are drawn, in every combination that a request may ask for: what it does to others, and to itself."""

from __future__ import annotations

import asyncio
import random

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, FinishReason
from trivet.types.variant import Sampling

pytestmark = SESSION_ENGINE
STEP = 2048  # tokens: what the engine computes at once
SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}


def prompt(number: int, length: int = 900) -> tuple[int, ...]:
    return tuple(5 + (place * 7 + number) % 200 for place in range(length))


def drawn(number: int, salt: str) -> BackendRequest:
    sampling = Sampling(max_tokens=24, temperature=1.0, seed=number)
    return request(prompt(number), request_id=f"{salt}-{number}", cache_salt=f"{salt}-{number}", sampling=sampling)


async def test_prompts_in_parts_draw_what_they_draw_alone(tiny_engine: EmbeddedVllm) -> None:
    """The token that is sampled for the part of a prompt is thrown away, and takes nothing from the seed."""
    numbers = range(8)
    assert len(numbers) * 900 > 3 * STEP
    alone = [text(await collect(tiny_engine, drawn(number, "alone"))) for number in numbers]
    assert len(set(alone)) == len(alone)
    together = await asyncio.gather(*(collect(tiny_engine, drawn(number, "together")) for number in numbers))
    assert [text(chunks) for chunks in together] == alone


def any_sampling(draw: random.Random) -> Sampling:
    """At the bounds of what a request may say as often as between them."""
    return Sampling(
        max_tokens=draw.choice((1, 2, 40)),
        temperature=draw.choice((0.0, 5e-324, 0.7, 2.0)),
        top_p=draw.choice((1.0, 5e-324, 0.9)),
        seed=draw.choice((None, 0, 7, 2**63 - 1)),
        stop=draw.choice(((), ("a",), ("\U0001f600", "of the"))),
        top_k=draw.choice((None, 1, 50, 2**31 - 1)),
        min_p=draw.choice((0.0, 1.0, 0.1)),
        presence_penalty=draw.choice((0.0, -2.0, 2.0)),
        frequency_penalty=draw.choice((0.0, -2.0, 2.0)),
        repetition_penalty=draw.choice((1.0, 0.01, 2.0)),
        top_logprobs=draw.choice((None, 0, 20)),
    )


async def test_no_combination_harms_the_engine(
    tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter]
) -> None:
    """Long prompts in parts and short ones, more than fit into the KV cache at once, with adapters and schemas."""
    draw = random.Random(4)
    adapters = (None, *tiny_adapters.values())
    wanted = [
        request(
            prompt(number, draw.choice((1, 33, 900))),
            draw.choice(adapters),
            request_id=f"any-{number}",
            cache_salt=draw.choice((None, "one", "other")),
            sampling=any_sampling(draw),
            json_schema=SCHEMA if draw.random() < 0.2 else None,
        )
        for number in range(300)
    ]
    answers = await asyncio.gather(*(collect(tiny_engine, one) for one in wanted))
    ends = {chunks[-1].finish for chunks in answers}
    assert ends == {FinishReason.STOP, FinishReason.LENGTH}, "nobody died"
