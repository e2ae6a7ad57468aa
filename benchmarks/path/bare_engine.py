"""System (a), a process: vLLM's AsyncLLM and the loop that reads it, with nothing between them.

Usage: python -m benchmarks.path.bare_engine FOLDER (a workload's).
Commands: `describe`; `measure` with `streams`, `seconds`, `offset`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.measuring.processes import descendants
from benchmarks.measuring.workload import MAX_TOKENS, Prompt, Workload
from benchmarks.path.load.closed_loop import Answer, ClosedLoop, measure
from benchmarks.path.load.worker import serve, take_stdout


class BareEngine:
    """An AsyncLLM with the settings that Trivet's configuration gives its own."""

    def __init__(self, workload: Workload) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments = AsyncEngineArgs(
            model=str(workload.model), **workload.engine(), enable_prefix_caching=True, scheduling_policy="priority"
        )
        self._llm = AsyncLLM.from_engine_args(arguments)
        self._numbers = count()

    async def send(self, prompt: Prompt) -> Answer:
        """One request, read to its end."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = SamplingParams(max_tokens=MAX_TOKENS, temperature=0.0, output_kind=RequestOutputKind.DELTA)
        sent = time.perf_counter()
        first, tokens, cached, pieces = 0.0, 0, None, []
        async for output in self._llm.generate(
            {"prompt_token_ids": prompt.ids}, sampling, f"bare-{next(self._numbers)}"
        ):
            first = first or time.perf_counter()
            pieces.append(output.outputs[0].text)
            tokens += len(output.outputs[0].token_ids)
            cached = output.num_cached_tokens
        return Answer(sent, first, time.perf_counter(), tokens, cached, "".join(pieces))

    def close(self) -> None:
        """End the engine's process."""
        self._llm.shutdown(timeout=5.0)


async def main(folder: Path) -> None:
    """Serve commands until stdin ends."""
    results = take_stdout()
    workload = Workload(folder)
    prompts = workload.prompts()
    engine = BareEngine(workload)

    async def handle(command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "describe":
            answer = await engine.send(prompts[0])
            return {"text": answer.text, "tokens": answer.tokens, "engine": descendants(os.getpid())}
        loop = ClosedLoop(engine.send, islice(cycle(prompts), command["offset"], None), command["streams"])
        return await measure(loop, command["seconds"], command["processes"])

    try:
        await serve(results, handle)
    finally:
        engine.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
