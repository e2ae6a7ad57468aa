"""LiteLLM's proxy in front of another server, as its documentation sets it up: one worker, one key, no database."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.measuring.servers import HttpServer
from benchmarks.measuring.workload import MODEL_NAME
from tests.support.clients.environment import clients_python

KEY = "sk-benchmark"
REQUIREMENTS = Path(__file__).with_name("litellm.txt")


class LiteLlmProxy(HttpServer):
    """`upstream`: host:port of the server that it asks."""

    name = "LiteLLM"
    health = "/health/liveliness"

    def __init__(self, folder: Path, upstream: str) -> None:
        super().__init__(folder / "litellm.log")
        self._python = clients_python(REQUIREMENTS)
        self._config = folder / "litellm.yaml"
        model = {"model": f"hosted_vllm/{MODEL_NAME}", "api_base": f"http://{upstream}/v1", "api_key": "none"}
        config = {
            "model_list": [{"model_name": MODEL_NAME, "litellm_params": model}],
            "general_settings": {"master_key": KEY},
        }
        self._config.write_text(yaml.safe_dump(config))

    def command(self) -> list[str]:
        """Its own program, with one worker."""
        program = str(self._python.with_name("litellm"))
        return [program, "--config", str(self._config), "--host", self.host, "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        """Without looks at the network, and with the log level that it recommends for production."""
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "127.0.0.1"}
