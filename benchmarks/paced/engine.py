"""An engine process that computes nothing: one token a step for each request, at a pace, in vLLM's own messages."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

NAME = "paced-engine"  # of the process, at most 15 characters
FIRST_TOKEN = 40  # of the vocabulary; later tokens count up from it
TOKENS = 100


def run(requests: str, outputs: str, tokens_per_second: float, most: int) -> None:
    """Take requests from one address and push steps to the other, until the process is ended.

    A step has one token for each of at most `most` requests, and steps are as far apart as the pace says.
    """
    import zmq
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason
    from vllm.v1.metrics.stats import PrefillStats, SchedulerStats
    from vllm.v1.serial_utils import MsgpackEncoder

    Path("/proc/self/comm").write_text(NAME)
    context = zmq.Context()
    taken, given = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    taken.connect(requests)
    given.set_hwm(0)
    given.connect(outputs)
    encoder = MsgpackEncoder()
    waiting: dict[str, tuple[int, int]] = {}
    running: dict[str, list[int]] = {}
    due = time.monotonic()
    parent = os.getppid()
    while os.getppid() == parent:
        while taken.poll(0 if running or waiting else 1000):
            ticket, prompt, answer = taken.recv_pyobj()
            if answer:
                waiting[ticket] = prompt, answer
            else:
                waiting.pop(ticket, None)
                running.pop(ticket, None)
        step: list[Any] = []
        for ticket in list(waiting)[: most - len(running)]:
            prompt, answer = waiting.pop(ticket)
            running[ticket] = [answer, prompt]
        for ticket, state in list(running.items()):
            state[0] -= 1
            token = FIRST_TOKEN + state[0] % TOKENS
            output = EngineCoreOutput(request_id=ticket, new_token_ids=[token])
            if state[1]:
                output.prefill_stats = PrefillStats(num_prompt_tokens=state[1], num_computed_tokens=state[1])
                state[1] = 0
            if not state[0]:
                output.finish_reason = FinishReason.LENGTH
                del running[ticket]
            step.append(output)
        if not step:
            due = time.monotonic()
            continue
        stats = SchedulerStats(num_running_reqs=len(running), num_waiting_reqs=len(waiting))
        message = EngineCoreOutputs(outputs=step, scheduler_stats=stats, timestamp=time.monotonic())
        given.send_multipart(encoder.encode(message), copy=False)
        due = max(due + len(step) / tokens_per_second, time.monotonic() - 1.0)
        time.sleep(max(0.0, due - time.monotonic()))
