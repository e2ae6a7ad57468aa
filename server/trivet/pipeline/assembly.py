"""The prompt of one request: that it can fit at all, before anything is done for it, and its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from trivet.metering.account import Account
from trivet.pipeline.backend_request import wanted_tokens
from trivet.pipeline.context import Context
from trivet.pipeline.variables import route_variables
from trivet.ports import Backend
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import Variable
from trivet.routing.table import Resolution
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import GenerateCall
from trivet.types.variant import Variant, VersionRef

Assemblers = Mapping[tuple[str, VersionRef], PromptAssembler]  # by backend and prompt
LONG_PROMPT = 8192  # characters
MANY_MESSAGES = 16
LONG_PROMPTS_AT_ONCE = 2
_Result = TypeVar("_Result")


class PromptAssembly:
    """Assembles prompts as the variants want them. All calls come from one event loop."""

    def __init__(self, prompts: Assemblers, backends: Mapping[str, Backend]) -> None:
        self._prompts = prompts
        self._backends = backends
        self._long_prompts = asyncio.Semaphore(LONG_PROMPTS_AT_ONCE)

    async def require_room(self, call: GenerateCall, resolution: Resolution) -> None:
        """Raise for a request that `assemble` would refuse whatever is found for it, before anything is.

        PromptTooLong, and InvalidRequest for roles and variables. Nothing to do where `assemble` comes next.
        """
        variant = resolution.variant
        if not variant.adapter_text and (variant.retrieval is None or call.retrieval.disabled):
            return
        check = partial(self._assembler(variant).require_room, call.messages, **self._given(call, resolution))
        await self._run(check, is_long(call, Context()))

    async def assemble(
        self,
        call: GenerateCall,
        resolution: Resolution,
        context: Context,
        account: Account,
        invocation: tuple[int, ...] = (),
    ) -> tuple[AssembledPrompt, GenerateCall]:
        """The prompt, and the request with as many tokens of answer as there is room for.

        Passages leave room for the variant's own `max_tokens`, or for fewer if the request wants fewer. What it wants
        beyond that is cut to the rest of the context. `invocation`: of the adapter, if it is an activated LoRA.
        """
        variant = resolution.variant
        few_shot = None if variant.retrieval is None else variant.retrieval.few_shot
        assemble = partial(
            self._assembler(variant).assemble,
            call.messages,
            **self._given(call, resolution),
            passages=context.passages,
            passage_tokens=None if variant.retrieval is None else variant.retrieval.token_budget,
            examples=context.examples,
            example_tokens=None if few_shot is None else few_shot.token_budget,
            invocation=invocation,
        )
        prompt = await self._run(assemble, is_long(call, context) or self._assembler(variant).renews)
        wanted = wanted_tokens(call, variant)
        room = self._backends[variant.backend].context_tokens - len(prompt.token_ids)
        reasons = {
            # What stands around them is there as far as there is room: without it nothing is missing.
            "passages_dropped": [passage for passage in prompt.dropped if not passage.near],
            "examples_dropped": prompt.dropped_examples,
            "max_tokens_cut": wanted > room,
        }
        account.degraded += [reason for reason, holds in reasons.items() if holds]
        account.example_ids = tuple(example.id for example in prompt.examples)
        account.passage_ids = tuple(passage.id for passage in prompt.passages)
        return prompt, replace(call, max_tokens=room) if wanted > room else call

    def _assembler(self, variant: Variant) -> PromptAssembler:
        return self._prompts[variant.backend, variant.prompt]

    def _given(self, call: GenerateCall, resolution: Resolution) -> dict[str, Any]:
        """What the assembler is told of the request itself, its messages aside."""
        variant = resolution.variant
        return {
            "context_tokens": self._backends[variant.backend].context_tokens,
            "max_tokens": min(wanted_tokens(call, variant), variant.sampling.max_tokens),
            "variables": call.variables,
            "also_known": route_variables(resolution.route, self._variables_of) if call.variables else (),
            "template_variables": variant.template_variables,
            "asked_variables": call.template_variables,
            "tools": call.tools,
        }

    def _variables_of(self, variant: Variant) -> Mapping[str, Variable]:
        return self._assembler(variant).variables

    async def _run(self, work: Callable[[], _Result], long: bool) -> _Result:
        """Long work in a thread: the tokenizer lets others run meanwhile. A few at once, so that they do not take every
        core."""
        if not long:
            return work()
        async with self._long_prompts:
            return await asyncio.to_thread(work)


def is_long(call: GenerateCall, context: Context) -> bool:
    """Whether assembling it would hold up every stream; for a usual prompt a thread's switch costs more than that."""
    texts = [*call.variables.values()]
    texts += [passage.text for passage in context.passages]
    texts += [text for example in context.examples for text in (example.question, example.answer)]
    return call.text_size + sum(map(len, texts)) > LONG_PROMPT or len(call.messages) > MANY_MESSAGES
