"""`trivet` over a paced engine: `PACED_TOKENS_PER_SECOND=N python -m benchmarks.paced.served ARGUMENTS...`.

All of the process is the real one, vLLM's input side included; only the process behind vLLM's client is another. It is
`trivet serve` of one process, or the engine process of several front ends.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from benchmarks.paced.engine import run
from trivet.backends.launch.launch import Launch


def client_class() -> type[Any]:
    """A client of vLLM's kind, with the paced engine behind it."""
    import zmq
    import zmq.asyncio
    from vllm.v1.engine import EngineCoreOutputs
    from vllm.v1.engine.core_client import AsyncMPClient
    from vllm.v1.serial_utils import MsgpackDecoder

    class PacedClient(AsyncMPClient):  # type: ignore[misc]
        def __init__(self, most: int) -> None:
            folder = os.environ["VLLM_RPC_BASE_PATH"]
            requests, outputs = f"ipc://{folder}/paced-requests", f"ipc://{folder}/paced-outputs"
            context = zmq.Context()
            self._requests = context.socket(zmq.PUSH)
            self._requests.bind(requests)
            output_socket = zmq.asyncio.Context(context).socket(zmq.PULL)
            output_socket.set_hwm(0)
            output_socket.bind(outputs)
            pace = float(os.environ["PACED_TOKENS_PER_SECOND"])
            process = multiprocessing.get_context("spawn").Process(
                target=run, args=(requests, outputs, pace, most), name="EngineCore_paced", daemon=True
            )
            process.start()
            self.resources = SimpleNamespace(
                output_socket=output_socket,
                output_queue_task=None,
                engine_dead=False,
                engine_manager=SimpleNamespace(processes=[process]),
            )
            self.decoder = MsgpackDecoder(EngineCoreOutputs)
            self.utility_results: dict[int, Any] = {}
            self.engine_ranks_managed = [0]
            self.core_engines = [b"paced"]

        async def call_utility_async(self, method: str, *_: Any) -> Any:
            """It is asked whether it has work, as a sign of life, and what it can do."""
            return ("generate",) if method == "get_supported_tasks" else True

        async def add_request_async(self, request: Any) -> None:
            """The paced engine needs to know how long prompt and answer are."""
            lengths = len(request.prompt_token_ids), request.sampling_params.max_tokens
            self._requests.send_pyobj((request.request_id, *lengths))

        async def abort_requests_async(self, request_ids: list[str]) -> None:
            """Their answers end."""
            for one in request_ids:
                self._requests.send_pyobj((one, 0, 0))

        def shutdown(self, timeout: float | None = None) -> None:
            """End the engine's process."""
            self.resources.engine_dead = True
            self.resources.engine_manager.processes[0].kill()

    return PacedClient


def start(_: Launch, config: Any, on_cpu: bool) -> Any:
    """In the place of `Launch._start`: neither vLLM's own child process nor one that is forked from a host."""
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.engine.core_client import EngineCoreClient
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    client = client_class()(config.scheduler_config.max_num_seqs)
    with patch.object(EngineCoreClient, "make_async_mp_client", lambda **_: client):
        return AsyncLLM(
            config, executor_class=None, log_requests=False, log_stats=False, stat_loggers=[PrometheusStatLogger]
        )


def main() -> None:
    """Run `trivet` as a child that dies with its parent."""
    with patch.object(Launch, "_start", start):
        runpy.run_module("trivet.cli.child", run_name="__main__")


if __name__ == "__main__":
    main()
