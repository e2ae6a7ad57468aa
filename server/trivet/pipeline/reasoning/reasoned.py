"""A backend's answer with what the variant says of thinking and of answering several times."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from trivet.pipeline.reasoning.samples import Samples
from trivet.pipeline.reasoning.thought import thought_apart
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.variant import Reasoning

Generate = Callable[[BackendRequest], AsyncGenerator[Chunk, None]]


def reasoned(
    generate: Generate, request: BackendRequest, reasoning: Reasoning | None, agreed: Callable[[float], None]
) -> AsyncGenerator[Chunk, None]:
    """`generate` itself where the variant says nothing; `agreed` is told the share of answers that have one value."""
    if reasoning is None:
        return generate(request)
    thinking = _thinking(generate, reasoning)
    if reasoning.several is None or not comparable(request):
        return thinking(request)
    return Samples(thinking, request, reasoning.several, agreed).run()


def comparable(request: BackendRequest) -> bool:
    """Whether several answers can be compared: calls of tools cannot."""
    return not request.tools and request.required_calls is None


def _thinking(generate: Generate, reasoning: Reasoning) -> Generate:
    marks = reasoning.thought
    if marks is None:
        return generate
    return lambda request: thought_apart(generate(request), marks)
