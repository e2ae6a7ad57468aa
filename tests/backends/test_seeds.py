"""Requests with seeds whose prompts are computed in several steps: answered as they are alone."""

from __future__ import annotations

import asyncio

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling

pytestmark = SESSION_ENGINE
STEP = 2048  # tokens: what the engine computes at once


def drawn(number: int, salt: str) -> BackendRequest:
    prompt = tuple(5 + (place * 7 + number) % 200 for place in range(900))
    sampling = Sampling(max_tokens=24, temperature=1.0, seed=number)
    return request(prompt, request_id=f"{salt}-{number}", cache_salt=f"{salt}-{number}", sampling=sampling)


async def test_prompts_in_parts_draw_what_they_draw_alone(tiny_engine: EmbeddedVllm) -> None:
    """The token that is sampled for the part of a prompt is thrown away, and takes nothing from the seed."""
    numbers = range(8)
    assert len(numbers) * 900 > 3 * STEP
    alone = [text(await collect(tiny_engine, drawn(number, "alone"))) for number in numbers]
    assert len(set(alone)) == len(alone)
    together = await asyncio.gather(*(collect(tiny_engine, drawn(number, "together")) for number in numbers))
    assert [text(chunks) for chunks in together] == alone
