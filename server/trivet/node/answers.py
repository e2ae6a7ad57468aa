"""All answers of one gateway's call: begun, aborted and ended as it says, each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import grpc

from trivet.current_request import CURRENT_REQUEST
from trivet.engine.v1 import engine_pb2
from trivet.errors import InvalidRequest, TrivetError
from trivet.node.answer import Answer
from trivet.node.outbox import Outbox
from trivet.node.tally import Tally
from trivet.rpc.call import REQUEST_ID, Context
from trivet.rpc.messages.reading import Unreadable
from trivet.rpc.status import status_of

logger = logging.getLogger(__name__)
Run = Callable[[Answer, engine_pb2.Start], Coroutine[Any, Any, None]]


class Answers:
    """`run` once. A gateway that does not read for `patience` seconds is left."""

    def __init__(self, context: Context, run: Run, tally: Tally, patience: float) -> None:
        """`run` gives one answer; what it raises ends that answer alone."""
        self._context = context
        self._run = run
        self._tally = tally
        self._outbox = Outbox(context, patience)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._open = True

    async def run(self) -> None:
        """Until the gateway ends its side, which aborts what is under way. Raises InvalidRequest for a step that cannot
        be, which ends the call; cancelling it aborts everything."""
        own = [asyncio.create_task(self._outbox.run()), asyncio.create_task(self._read())]
        writing, reading = own
        try:
            await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
            await (writing if writing.done() else reading)
            await self._abort_all()
            own.append(asyncio.create_task(self._outbox.flushed()))  # the last words of those that were under way
            await asyncio.wait({writing, own[-1]}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open = False
            for task in own:
                task.cancel()
            await self._abort_all()
            await asyncio.gather(*own, return_exceptions=True)

    async def _read(self) -> None:
        while (message := await self._context.read()) is not grpc.aio.EOF:
            if isinstance(message, Unreadable):
                raise message.error
            step = message.WhichOneof("step")
            if step == "start":
                self._begin(message.answer, message.start)
            elif step == "abort":
                self._abort(message.answer)
            else:
                raise InvalidRequest({"step": "expected a start or an abort"})
            await self._outbox.room()

    def _begin(self, number: int, start: engine_pb2.Start) -> None:
        if number in self._tasks:
            raise InvalidRequest({"answer": f"{number} is under way, expected another number"})
        answer = Answer(number, self._outbox, self._tally)
        task = asyncio.create_task(self._named(answer, start))
        self._tasks[number] = task
        task.add_done_callback(partial(self._ended, number, answer, start.request_id))

    async def _named(self, answer: Answer, start: engine_pb2.Start) -> None:
        """Its log says whose it is."""
        if REQUEST_ID.fullmatch(start.request_id):
            CURRENT_REQUEST.set(start.request_id)
        await self._run(answer, start)

    def _abort(self, number: int) -> None:
        """One that has ended meanwhile has told so."""
        task = self._tasks.get(number)
        if task is not None and not task.cancelling():  # a second one would disturb it while it tells the engine
            task.cancel()

    async def _abort_all(self) -> None:
        tasks = list(self._tasks.values())
        for number in list(self._tasks):
            self._abort(number)
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, number: int, answer: Answer, request_id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        if task.cancelled():
            if self._open:
                answer.abandoned()
            return
        problem = task.exception()
        if problem is None or not self._open:
            return
        if not isinstance(problem, TrivetError):
            logger.error("request %s failed", request_id, exc_info=problem)
        self._outbox.end(number, status_of(problem, request_id), answer.charge)
