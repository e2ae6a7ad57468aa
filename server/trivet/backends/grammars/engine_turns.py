"""Turns for the engine's own compiling of schemas.

vLLM compiles each schema that it has not kept in a few threads (two, on two cores), first come, first served, and
interrupts none. So what one owner, a tenant or the operator, has in there beside others' is bounded here.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trivet.fairness.fair_semaphore import FairSemaphore

AT_ONCE = 2
BESIDE_OTHERS = 1
REMEMBERED = 4096


class EngineTurns:
    """As old as the engine. For one event loop."""

    def __init__(self) -> None:
        self._turns = FairSemaphore(AT_ONCE, BESIDE_OTHERS)
        self._compiled: OrderedDict[tuple[str, bytes], None] = OrderedDict()  # the one used last at the end

    @asynccontextmanager
    async def compiling(self, schema: str, owner: str) -> AsyncIterator[None]:
        """Around a request from its submission to its first output: then the engine has compiled the schema's text.

        Waits for the owner's turn, unless the engine had compiled it before.
        """
        key = owner, hashlib.sha256(schema.encode(errors="surrogatepass")).digest()
        if key not in self._compiled:
            async with self._turns.slot(owner):
                yield
        else:
            yield
        self._compiled[key] = None
        self._compiled.move_to_end(key)
        if len(self._compiled) > REMEMBERED:
            self._compiled.popitem(last=False)
