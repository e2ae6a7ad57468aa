"""The servers that Trivet is compared with, beside vLLM's own: its Rust front end, SMG, and a service of glue."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.servers import HttpServer, VllmServer
from benchmarks.measuring.workload import INDEX, MODEL_NAME, Workload
from tests.support.clients.environment import clients_python

HERE = Path(__file__).parent
SMG, GLUE = HERE / "smg.txt", HERE / "glue.txt"
VLLM_VERSION = "0.32.0+cpu"


class RustFrontEnd(VllmServer):
    """vLLM's Rust front end before vLLM's engine. `binary`: `vllm-rs`, which the GPU wheel of vLLM carries."""

    name = "vLLM's Rust front end"

    def __init__(self, workload: Workload, binary: Path) -> None:
        super().__init__(workload)
        self._log_path = workload.folder / "rust.log"
        self._binary = binary
        self._names = workload.folder / "names"
        # `vllm serve` asks which version of the distribution `vllm` is installed; on a CPU it has another name.
        described = self._names / f"vllm-{VLLM_VERSION}.dist-info"
        shutil.rmtree(self._names, ignore_errors=True)
        described.mkdir(parents=True)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}\n")

    def command(self) -> list[str]:
        """As vLLM's Python server, but by `vllm serve`."""
        _, _, _, *options = super().command()
        model = options[options.index("--model") + 1]
        kept = [one for one in options if one not in {"--model", model, "--disable-uvicorn-access-log"}]
        main = "import sys; from vllm.entrypoints.cli.main import main; sys.exit(main())"
        return [sys.executable, "-c", main, "serve", model, *kept]

    def environment(self) -> dict[str, str]:
        """With its binary."""
        path = os.pathsep.join(filter(None, [str(self._names), os.environ.get("PYTHONPATH", "")]))
        chosen = {"VLLM_USE_RUST_FRONTEND": "1", "VLLM_RUST_FRONTEND_PATH": str(self._binary), "PYTHONPATH": path}
        return super().environment() | chosen


class Smg(HttpServer):
    """SMG, a gateway in Rust, over HTTP before another server."""

    name = "SMG"

    def __init__(self, folder: Path, upstream: str) -> None:
        super().__init__(folder / "smg.log")
        self._program = clients_python(SMG).with_name("smg")
        self._upstream = upstream

    def command(self) -> list[str]:
        """One worker, the server."""
        command = [str(self._program), "launch", "--host", self.host, "--port", str(self.port)]
        return [*command, "--worker-urls", f"http://{self._upstream}", "--prometheus-port", str(self.port + 1)]

    def environment(self) -> dict[str, str]:
        """No proxy."""
        return {"NO_PROXY": "127.0.0.1"}


class GlueService(HttpServer):
    """FastAPI and LlamaIndex before another server: what a team would write first (`glue_service.py`)."""

    name = "FastAPI + LlamaIndex"

    def __init__(self, workload: Workload, upstream: str, embedding: Path) -> None:
        """`embedding`: folder of the exported embedding model, the one that Trivet searches with."""
        super().__init__(workload.folder / "glue.log")
        self._python = clients_python(GLUE)
        self._variables = {
            "GLUE_UPSTREAM": f"http://{upstream}/v1",
            "GLUE_MODEL": MODEL_NAME,
            "GLUE_EMBEDDING": str(embedding),
            "GLUE_CORPUS": str(ROOT / "indexes" / INDEX / "corpus"),
            "NO_PROXY": "127.0.0.1",
        }

    def command(self) -> list[str]:
        """One worker of uvicorn's."""
        uvicorn = [str(self._python), "-m", "uvicorn", "glue_service:app", "--app-dir", str(HERE)]
        return [*uvicorn, "--host", self.host, "--port", str(self.port), "--no-access-log", "--log-level", "warning"]

    def environment(self) -> dict[str, str]:
        """Where everything is."""
        return self._variables
