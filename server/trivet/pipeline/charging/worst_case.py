"""The most that a request may use, before anything is looked up: what budgets set aside for it."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.metering.prices import Price
from trivet.pipeline.assembly import Assemblers
from trivet.pipeline.backend_request import wanted_tokens
from trivet.ports import Backend
from trivet.prompts.assembly.assembler import TURN_TOKENS
from trivet.types.budget import Use
from trivet.types.passage import QUERY_CHARACTERS
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall
from trivet.types.variant import Route, Variant

_MOST_SEARCHES = 2  # for passages, and for examples


class WorstCase:
    """Of each variant that may answer; the most of them counts."""

    def __init__(self, prompts: Assemblers, backends: Mapping[str, Backend], prices: Mapping[str, Price]) -> None:
        self._prompts = prompts
        self._backends = backends
        self._prices = prices

    def of(self, call: GenerateCall, route: Route) -> Use:
        """An upper bound: a token of text has at least one byte, and prompt and answer fit into the context. Each of
        several answers has the prompt too."""
        given = sum(len(message.content.encode()) + TURN_TOKENS for message in call.messages)
        given += sum(len(value.encode()) for value in call.variables.values())
        if _has_more_than_text(call):
            given = max(self._backends[variant.backend].context_tokens for variant in route.variants.values())
        each = [self._of_variant(call, variant, given) for variant in route.variants.values()]
        return Use(1, max(use.tokens for use in each), max(use.nano_usd for use in each))

    def _of_variant(self, call: GenerateCall, variant: Variant, given: int) -> Use:
        context = self._backends[variant.backend].context_tokens
        answer = min(wanted_tokens(call, variant), context)
        prompt = min(given + self._prompts[variant.backend, variant.prompt].most_own_tokens + _found(variant), context)
        price, samples = self._prices.get(variant.backend), variant.samples * call.n
        more_prompt, more_answer = self._rewriting(variant, context)
        whole = samples * min(prompt + answer, context) + min(more_prompt + more_answer, context)
        if price is None:
            return Use(1, whole)
        searches = 0 if variant.retrieval is None else _MOST_SEARCHES
        prompts, answers = samples * prompt + more_prompt, samples * answer + more_answer
        uncached = price.cost(input_tokens=prompts, cached_tokens=0, output_tokens=answers, searches=searches)
        cached = price.cost(input_tokens=prompts, cached_tokens=prompts, output_tokens=answers, searches=searches)
        return Use(1, whole, max(uncached.total or 0, cached.total or 0))

    def _rewriting(self, variant: Variant, context: int) -> tuple[int, int]:
        """Tokens of the prompt and of the answer that write a question anew; a character has at most four bytes."""
        settings = variant.rewrite
        if settings is None:
            return 0, 0
        own = self._prompts[variant.backend, settings.prompt].most_own_tokens + TURN_TOKENS * (settings.max_turns + 2)
        told = 4 * (settings.max_characters + QUERY_CHARACTERS)
        return min(own + told, context), min(settings.max_tokens, context)


def _has_more_than_text(call: GenerateCall) -> bool:
    """What a chat template writes of tools and of its own variables is bounded by the context alone."""
    if call.tools or call.template_variables:
        return True
    return any(message.tool_calls or message.reasoning or message.name for message in call.messages)


def _found(variant: Variant) -> int:
    """Tokens of passages and examples."""
    if variant.retrieval is None:
        return 0
    few_shot = variant.retrieval.few_shot
    examples = 0 if few_shot is None else few_shot.token_budget + 2 * few_shot.k * TURN_TOKENS
    return variant.retrieval.token_budget + examples


def used(receipt: Receipt) -> Use:
    """What a request used: nothing if it was not handed to an engine, nor answered without one."""
    if receipt.output_tokens is None:
        return Use()
    return Use(1, (receipt.input_tokens or 0) + receipt.output_tokens, receipt.cost.total or 0)
