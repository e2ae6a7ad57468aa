"""One request's copy: asked of the candidate with what the original asked, and held against its answer."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace

from trivet.routing.table import Resolution
from trivet.types.answer import Choice
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall

PRIORITY = 10
"""Below that of every real request, which has 9 at the least. The engine puts off or preempts the highest number."""


class SparePlace:
    """A place among those that run which is nobody's: what runs there makes no one wait."""

    waits = False

    def aside(self) -> AbstractAsyncContextManager[None]:
        """Others have their places anyway."""
        return nullcontext()


@dataclass(slots=True, eq=False)
class Copy:
    """A copy that runs. It holds the request, and what the real answer `said`, until it has ended.

    `real`: the original's receipt. `limit`: it gives way above so many requests at once, copies included.
    """

    call: GenerateCall
    resolution: Resolution
    real: Receipt
    said: str
    limit: float
    task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Abort it."""
        if self.task is not None:
            self.task.cancel()


def said(choice: Choice) -> str:
    """All that an answer says, to be held against another: its text and the functions that it asks to have called.

    Not the calls' ids, which are drawn, nor what was thought.
    """
    return "\n".join([choice.text, *(f"{call.name}({call.arguments})" for call in choice.tool_calls)])


def copied(call: GenerateCall, now: float, max_duration: float) -> GenerateCall:
    """The same question from the same tenant, with as much time as the original had, and an id of its own.

    Labels and the key stay behind: whoever adds up costs by them finds none of a shadow's. Of several answers the first
    is compared.
    """
    given = max_duration if call.deadline is None else min(max_duration, call.deadline - call.arrived)
    return replace(
        call,
        request_id=f"shadow-{secrets.token_hex(8)}",
        arrived=now,
        deadline=now + given,
        labels={},
        key="",
        priority=PRIORITY,
        forced_variant="",
        top_logprobs=None,
        n=1,
    )
