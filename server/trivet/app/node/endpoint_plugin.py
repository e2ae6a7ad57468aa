"""An engine node inside a vLLM server that somebody else runs: an endpoint plugin of vLLM's.

It opens a listener of its own, for gateways, on the server's engine. The server's own port, probes and metrics stay as
they are; what its clients load over HTTP is bounded (see `ServerLoras`). Source: vLLM 0.32,
`vllm.plugins.endpoint_plugins.interface`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from trivet.app.node.engine_node import EngineNode
from trivet.app.node.logged_progress import LoggedProgress
from trivet.backends.server_loras import ServerLoras
from trivet.backends.vllm_settings import GRAMMAR_BACKEND
from trivet.config import Environment
from trivet.config.engine_node import load_engine_node
from trivet.config.schema.backends import EmbeddedBackend
from trivet.errors import ConfigError, FailedPrecondition

logger = logging.getLogger(__name__)
DEFAULT_CONFIG = Path("engine.yaml")


class EnginePlugin:
    """What vLLM looks for: `trivet_engine` in VLLM_PLUGINS turns it on; TRIVET_ENGINE_CONFIG is its file."""

    name = "trivet_engine"
    required_tasks = ("generate",)

    def __init__(self) -> None:
        self.node: EngineNode | None = None

    def attach_router(self, app: Any) -> None:
        """It adds no HTTP routes."""

    async def init_state(self, engine_client: Any, state: Any, args: Any) -> None:
        """Serve gateways from now on. Raises ConfigError, which ends the server, for a file that is wrong."""
        if engine_client is None:
            return
        path = Path(Environment.read().engine_config or DEFAULT_CONFIG)
        config = load_engine_node(path, engine=_engine(engine_client.vllm_config, args))
        self.node = state.trivet_engine = EngineNode(config, LoggedProgress(), engine_client)
        await self.node.start()
        try:
            ServerLoras(state.openai_serving_models, engine_client, self.node.adapters)
        except FailedPrecondition as problem:
            raise ConfigError([str(problem)]) from problem
        stop_before(engine_client, self.node.stop)


def stop_before(engine_client: Any, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have the engine shut down once the node has stopped, when the server is told to end.

    The interface of plugins has no end, and the app's own comes after the engine's. vLLM then calls
    `AsyncLLM.shutdown` in a thread, and serves its own clients meanwhile; in the event loop's thread it calls it for an
    engine that is dead, or of a server that did not start, where there is nothing to wait for.
    """
    loop, shutdown, stopping = asyncio.get_running_loop(), engine_client.shutdown, threading.Event()
    of_loop = threading.get_ident()

    def stop_and_shutdown(*arguments: Any, **options: Any) -> Any:
        if threading.get_ident() != of_loop and loop.is_running() and not stopping.is_set():
            stopping.set()
            try:
                asyncio.run_coroutine_threadsafe(stop(), loop).result()
            except Exception:
                logger.exception("the engine node did not stop in good order")
        return shutdown(*arguments, **options)

    engine_client.shutdown = stop_and_shutdown


def _engine(config: Any, args: Any) -> EmbeddedBackend:
    """What the server's flags say, as an engine node's file would.

    Raises ConfigError for a model that is no folder, and for schemas that the server's clients could have compiled by
    another library: what is then used stays, for everybody, and a gateway's schemas were not tried with it.
    """
    model, lora = Path(config.model_config.model), config.lora_config
    if not (model / "config.json").is_file():
        raise ConfigError([f"--model {model} is no local folder, which the checks of adapters need"])
    if config.structured_outputs_config.backend != GRAMMAR_BACKEND:
        got = f"got {config.structured_outputs_config.backend}, expected {GRAMMAR_BACKEND} for everybody's schemas"
        raise ConfigError([f"--structured-outputs-config.backend: {got}"])
    fields: dict[str, Any] = {"max_num_seqs": config.scheduler_config.max_num_seqs, "enable_lora": lora is not None}
    if lora is not None:
        # Those that the server was started with have places of the same memory.
        own = len(getattr(args, "lora_modules", None) or ())
        places = int(lora.max_cpu_loras or lora.max_loras) - own
        if places < 1:
            raise ConfigError([f"--max-cpu-loras leaves no room beside the {own} of --lora-modules, expected more"])
        fields |= {"max_loras": lora.max_loras, "max_cpu_loras": places, "max_lora_rank": lora.max_lora_rank}
    return EmbeddedBackend(kind="embedded", model=str(model.resolve()), **fields)
