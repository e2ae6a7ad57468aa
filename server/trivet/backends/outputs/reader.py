"""Reading the engine's process directly: one message a step, for all answers.

vLLM's `AsyncLLM` reads through three tasks and makes objects for each token. Its front end's time at many streams goes
there, so this takes the same messages from the same socket. Source: vLLM 0.32, `vllm.v1.engine.core_client` and
`async_llm`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.outputs.answer import EngineAnswer
from trivet.backends.outputs.statistics import StepStatistics
from trivet.backends.outputs.step_logger import step_logger
from trivet.errors import GenerationFailed

logger = logging.getLogger(__name__)
AT_A_TIME = 8  # messages before others have a turn


class Outputs(Protocol):
    """Where an engine's requests are entered, so that their outputs come to their collectors."""

    def start(self, ended: Callable[[str], None]) -> None:
        """On the event loop, once; `ended` is told why nothing more will come."""
        ...

    def enter(self, prepared: Any, collector: Coalescer) -> None:
        """Before the engine is given the request (vLLM's `EngineCoreRequest`)."""
        ...

    async def abort(self, ticket: str) -> None:
        """Forget a request, here and in the engine."""
        ...

    @property
    def unfinished(self) -> int:
        """How many have been entered and have not ended."""
        ...

    def tell(self) -> None:
        """Count in vLLM's metrics what has been read by now."""
        ...

    def close(self) -> None:
        """Read nothing more; fine to call again."""
        ...


class VllmOutputs:
    """By vLLM's own output handler."""

    def __init__(self, llm: Any, on_step: Callable[[int], None] | None = None) -> None:
        """`on_step`: as for `DirectOutputs`."""
        self._llm = llm
        self._on_step = on_step

    def start(self, ended: Callable[[str], None]) -> None:
        """See `Outputs`."""
        if self._on_step is not None:
            self._llm.logger_manager.stat_loggers.append(step_logger(self._on_step)(self._llm.vllm_config))
        self._llm._run_output_handler()
        self._llm.output_handler.add_done_callback(lambda _: ended("vLLM's output handler ended"))

    def enter(self, prepared: Any, collector: Coalescer) -> None:
        """See `Outputs`."""
        self._llm.output_processor.add_request(prepared, None, None, 0, collector)

    async def abort(self, ticket: str) -> None:
        """See `Outputs`."""
        await self._llm.abort(ticket, internal=True)

    @property
    def unfinished(self) -> int:
        """See `Outputs`."""
        return int(self._llm.get_num_unfinished_requests())

    def tell(self) -> None:
        """Each step is counted when it is read."""

    def close(self) -> None:
        """It ends with the `AsyncLLM`."""


class DirectOutputs:
    """From the engine's socket. Requests that were entered into the `AsyncLLM` itself go on to vLLM's processor."""

    def __init__(self, llm: Any, on_step: Callable[[int], None] | None = None) -> None:
        """`on_step` is told, once the outputs of a step are handed over, how many prompt tokens it computed; this needs
        `enable_logging_iteration_details`. Must be made before anything is asked of `llm`."""
        self._llm = llm
        self._core = llm.engine_core
        self._on_step = on_step
        self._answers: dict[str, EngineAnswer] = {}
        self._aborts: set[asyncio.Task[None]] = set()
        self._ended: Callable[[str], None] = lambda _: None
        self._descriptor = -1

    def start(self, ended: Callable[[str], None]) -> None:
        """See `Outputs`."""
        import zmq
        from vllm.v1.engine.core import EngineCoreProc
        from vllm.v1.engine.core_client import _process_utility_output

        # As plain numbers: each token asks for them.
        self._events, self._readable, self._at_once = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.NOBLOCK)
        self._answer_call = _process_utility_output
        self._dead = EngineCoreProc.ENGINE_CORE_DEAD
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._statistics = StepStatistics(self._llm, self._loop)
        self._socket: Any = zmq.Socket.shadow(self._core.resources.output_socket)
        # A descriptor of our own: vLLM closes the socket's while this loop may still have it.
        self._descriptor = os.dup(self._socket.FD)
        self._loop.add_reader(self._descriptor, self._read)
        self._loop.call_soon(self._read)  # what came before it was watched
        # vLLM starts a reader of its own where it finds none, and ends this one when it shuts down.
        self._stay = self._loop.create_task(self._until_closed(), name="engine-outputs")
        self._core.resources.output_queue_task = self._llm.output_handler = self._stay

    def enter(self, prepared: Any, collector: Coalescer) -> None:
        """See `Outputs`."""
        answer = EngineAnswer(prepared, self._llm.output_processor.tokenizer, collector)
        self._answers[answer.ticket] = answer

    async def abort(self, ticket: str) -> None:
        """See `Outputs`."""
        answer = self._answers.pop(ticket, None)
        if answer is not None:
            self._statistics.left(answer)
            await self._core.abort_requests_async([ticket])

    @property
    def unfinished(self) -> int:
        """See `Outputs`."""
        return len(self._answers) + int(self._llm.get_num_unfinished_requests())

    def tell(self) -> None:
        """See `Outputs`."""
        if self._descriptor >= 0:
            self._statistics.tell_now()

    def close(self) -> None:
        """See `Outputs`."""
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._statistics.close()

    async def _until_closed(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.close()
            self._ended("vLLM shut it down")

    def _read(self) -> None:
        """All messages that are there: the descriptor tells of new ones alone."""
        if self._descriptor < 0:
            return
        try:
            for _ in range(AT_A_TIME):
                if not self._socket.get(self._events) & self._readable:  # cheaper than the error that says so
                    return
                self._take(self._socket.recv_multipart(self._at_once))
        except Exception as problem:
            logger.exception("the outputs of the engine could not be read")
            self._end(f"its outputs could not be read: {problem}")
            return
        self._loop.call_soon(self._read)

    def _take(self, frames: list[bytes]) -> None:
        if frames == [self._dead]:
            self._core.resources.engine_dead = True
            self._end("the engine's process failed")
            return
        message = self._core.decoder.decode(frames)
        if message.utility_output is not None:
            if message.utility_output.call_id in self._core.utility_results:
                self._answer_call(message.utility_output, self._core.utility_results)
            return
        self._step(message)

    def _step(self, message: Any) -> None:
        now, statistics = self._loop.time(), self._statistics
        others = []
        for output in message.outputs:
            answer = self._answers.get(output.request_id)
            if answer is None:
                others.append(output)
                continue
            statistics.output(answer, output, message.timestamp)
            reason = self._taken(answer, output, now)
            if reason is not None:
                del self._answers[output.request_id]
                statistics.finished(answer, reason)
                if output.finish_reason is None:
                    self._give_up([output.request_id])
        if others:
            self._pass_on(others, message)
        statistics.step(message.scheduler_stats, len(message.outputs))
        if self._on_step is not None and message.scheduler_stats is not None:
            details = message.scheduler_stats.iteration_details
            if details is not None and not details.is_dummy:
                self._on_step(details.num_ctx_tokens)

    def _taken(self, answer: EngineAnswer, output: Any, now: float) -> Any:
        """Why it has ended, None if it has not. What one answer's tokens bring about is not the others' business."""
        try:
            return answer.take(output, now)
        except Exception as problem:
            logger.exception("an output of the engine could not be read, its request is given up")
            answer.collector.put(GenerationFailed(f"an output of the engine could not be read: {problem}"))
            return answer.failed

    def _pass_on(self, outputs: list[Any], message: Any) -> None:
        """To vLLM's processor, which ignores those that it does not know either: they have been aborted."""
        processor = self._llm.output_processor
        if processor.has_unfinished_requests():
            self._statistics.iteration.iteration_timestamp = time.time()
            processed = processor.process_outputs(
                outputs, message.timestamp, self._statistics.iteration, weight_version=message.weight_version
            )
            self._give_up(processed.reqs_to_abort)

    def _give_up(self, tickets: list[str]) -> None:
        """Stop strings have ended them, which the engine does not know."""
        if tickets:
            task = self._loop.create_task(self._core.abort_requests_async(tickets))
            self._aborts.add(task)
            task.add_done_callback(self._aborts.discard)

    def _end(self, reason: str) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        self.close()
        with contextlib.suppress(Exception):
            self._llm.output_processor.propagate_error(EngineDeadError())
        self._ended(reason)


def outputs_of(llm: Any, on_step: Callable[[int], None] | None) -> Outputs:
    """Read directly from one engine's process; several, which vLLM balances, are left to vLLM."""
    from vllm.v1.engine.core_client import AsyncMPClient, DPAsyncMPClient

    core = llm.engine_core
    single = isinstance(core, AsyncMPClient) and not isinstance(core, DPAsyncMPClient) and len(core.core_engines) == 1
    if single and llm.logger_manager is not None and not llm.vllm_config.parallel_config.enable_fault_tolerance:
        return DirectOutputs(llm, on_step)
    return VllmOutputs(llm, on_step)
