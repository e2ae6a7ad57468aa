"""Rewriting of follow-up questions, as conversational search has it (Elgohary et al., 2019,
https://aclanthology.org/D19-1605/): one short answer of the variant's own backend, within retrieval's deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial

from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import GenerationFailed, Overloaded, TrivetError
from trivet.metering.account import Account, ChoiceAccount
from trivet.pipeline.assembly import LONG_PROMPT, Assemblers
from trivet.pipeline.backend_request import cache_salt
from trivet.pipeline.prefix_ledger import ExpectedPrefix, PrefixCacheLedger
from trivet.pipeline.rewriting.transcript import follows_up, one_line, transcript
from trivet.pipeline.stream import ANSWERED
from trivet.ports import Backend
from trivet.routing.table import Resolution
from trivet.types.generation import BackendRequest, Chunk, MachineAccount
from trivet.types.passage import QUERY_CHARACTERS
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import GenerateCall, Message
from trivet.types.variant import RewriteSettings, Sampling

_log = logging.getLogger(__name__)

LATE, FAILED, EMPTY = "rewrite_timeout", "rewrite_failed", "rewrite_empty"  # in `degraded`: as it was asked
_QUOTES = "\"'\u201c\u201d\u2018\u2019\u00ab\u00bb`"
_RETRY_AFTER = 1.0


class QuestionRewriter:
    """All calls come from one event loop."""

    def __init__(
        self,
        prompts: Assemblers,
        backends: Mapping[str, Backend],
        slots: Mapping[str, AdapterSlots],
        ledger: PrefixCacheLedger,
    ) -> None:
        """`slots` by backend, like `backends`."""
        self._prompts = prompts
        self._backends = backends
        self._slots = slots
        self._ledger = ledger

    async def rewrite(
        self,
        call: GenerateCall,
        resolution: Resolution,
        settings: RewriteSettings,
        lease: AdapterLease | None,
        account: Account,
        until: float,
    ) -> str | None:
        """The last question as one that stands alone; None where it is to be searched with as it was asked.

        That is so without earlier turns, and where the model fails, writes nothing, or is not done when half of the
        time `until` retrieval's deadline has passed, or the setting's own deadline: `account` says so. It also has the
        tokens. The request's own place is the rewriting's: it asks nothing else of an engine meanwhile.
        """
        if not follows_up(call.messages):
            return None
        loop = asyncio.get_running_loop()
        left = (until - loop.time()) / 2
        try:
            async with asyncio.timeout(left if settings.deadline is None else min(left, settings.deadline)):
                text = await self._written(call, resolution, settings, lease, account)
        except TimeoutError:
            account.degraded.append(LATE)
            return None
        except TrivetError as error:
            _log.info("a question was not rewritten: %s", type(error).__name__)
            account.degraded.append(FAILED)
            return None
        except Exception:
            _log.exception("a question was not rewritten")
            account.degraded.append(FAILED)
            return None
        if not text:
            account.degraded.append(EMPTY)
            return None
        account.rewritten = True
        return text

    async def _written(
        self,
        call: GenerateCall,
        resolution: Resolution,
        settings: RewriteSettings,
        lease: AdapterLease | None,
        account: Account,
    ) -> str:
        """What the model writes, on one line. Raises TrivetError."""
        variant = resolution.variant
        backend = self._backends[variant.backend]
        own = lease if settings.by_adapter else None
        adapter = None if own is None else own.engine_name
        slots = self._slots[variant.backend]
        if not slots.admits(adapter):  # it would have to let others have the request's place meanwhile
            raise Overloaded("adapter slots", slots.leased, _RETRY_AFTER)
        async with slots.enter(adapter):
            prompt = await self._prompt(call, resolution, settings, () if own is None else own.invocation)
            part = ChoiceAccount()
            salt = cache_salt(resolution.route, call.tenant)
            whose = adapter if prompt.activated_from is None else None
            prefix = ExpectedPrefix(self._ledger, backend, salt, whose, prompt, part)
            request = BackendRequest(
                request_id=f"{call.request_id}-rewrite",
                token_ids=prompt.token_ids,
                sampling=Sampling(max_tokens=settings.max_tokens, stop=("\n",)),
                adapter=adapter,
                activated_from=prompt.activated_from,
                cache_salt=salt,
                unsalted_tokens=prompt.prefix_tokens,
                priority=1 if account.shadow else 0,
                account=MachineAccount.SHADOW if account.shadow else MachineAccount.REQUESTS,
                template_variables=prompt.template_variables,
                messages=prompt.messages,
                on_unread=part.add_unread,
                on_charge=part.charge_time,
                on_placed=prefix.placed,
            )
            account.rewriting, part.output_tokens = part, 0
            await _read(backend.generate(request), part, prefix)
        if part.finish not in ANSWERED:
            raise GenerationFailed("the engine gave the rewriting up")
        return one_line("".join(part.text)).strip(_QUOTES).strip()[:QUERY_CHARACTERS]

    async def _prompt(
        self, call: GenerateCall, resolution: Resolution, settings: RewriteSettings, invocation: tuple[int, ...]
    ) -> AssembledPrompt:
        """The rewriting prompt with the conversation in its place, a single message of the user's."""
        variant = resolution.variant
        assembler = self._prompts[variant.backend, settings.prompt]
        text = transcript(call.messages, settings)
        assemble = partial(
            assembler.assemble,
            (Message("user", text),),
            context_tokens=self._backends[variant.backend].context_tokens,
            max_tokens=settings.max_tokens,
            template_variables=variant.template_variables,
            invocation=invocation,
        )
        return await asyncio.to_thread(assemble) if len(text) > LONG_PROMPT or assembler.renews else assemble()


async def _read(answer: AsyncGenerator[Chunk, None], part: ChoiceAccount, prefix: ExpectedPrefix) -> None:
    """All of it into its account; closing it aborts the engine's work."""
    loop = asyncio.get_running_loop()
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            if part.first_token is None:
                prefix.computed()
            part.add(chunk, loop.time())
