"""One answer on its way to a gateway."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

from trivet.errors import GenerationFailed
from trivet.node.outbox import Outbox
from trivet.node.tally import Outcome, Tally
from trivet.ports import Backend
from trivet.types.generation import BackendRequest, Chunk, EngineTimes, FinishReason, MachineCharge


class Answer:
    """Puts one request's chunks into the outbox until its end. `number`: which of its call's answers it is."""

    def __init__(self, number: int, outbox: Outbox, tally: Tally) -> None:
        self._number = number
        self._outbox = outbox
        self._tally = tally
        self._left: Chunk | None = None  # what the engine has handed over and was not put
        self._whole = False
        self._waited = 0.0
        self.charge: MachineCharge | None = None  # known once the engine is done with it

    async def run(self, backend: Backend, request: BackendRequest, waited: float) -> None:
        """Returns when all is written; raises what the backend does. Cancelling it aborts the engine's work.

        `waited`: seconds before the engine was given it.
        """
        outcome, self._waited = Outcome.FAILED, waited
        try:
            await self._bring(backend, replace(request, on_unread=self._keep, on_charge=self._charged))
            outcome = Outcome.FINISHED
        except asyncio.CancelledError:
            outcome = Outcome.ABORTED
            raise
        finally:
            self._tally.requests[outcome] += 1
        await self._outbox.flushed()

    def abandoned(self) -> None:
        """It was cancelled on the gateway's wish: tell it what it has not had."""
        if self._whole:
            return
        self._put(replace(self._left or Chunk("", 0, 0.0), finish=FinishReason.CANCELLED))

    async def _bring(self, backend: Backend, request: BackendRequest) -> None:
        async with aclosing(backend.generate(request)) as chunks:
            async for chunk in chunks:
                self._tally.add(chunk)
                if chunk.finish is not None:
                    self._left = chunk
                    break
                self._put(chunk)
                await self._outbox.taken()
        if self._left is None:
            raise GenerationFailed("the engine gave the answer up")
        self._put(self._left)
        self._whole = True

    def _put(self, chunk: Chunk) -> None:
        times = chunk.times
        if self._waited and times is not None:  # that counts as its queue
            own = EngineTimes(times.queue + self._waited, times.prefill, times.decode, times.preemptions)
            chunk = replace(chunk, times=own)
        self._outbox.put(self._number, chunk, None if chunk.finish is None else self.charge)

    def _charged(self, charge: MachineCharge) -> None:
        self.charge = charge

    def _keep(self, chunk: Chunk) -> None:
        self._tally.add(chunk)
        self._left = chunk
