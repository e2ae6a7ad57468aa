"""schemathesis against a running server: requests made from its OpenAPI description, right and wrong ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.clients.environment import clients_python

HOOKS = Path(__file__).parents[2] / "e2e/clients/programs/fuzzing_hooks.py"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "ignored_auth",
)  # fmt: skip


def fuzz(address: str, key: str, folder: Path, *, examples: int, seed: int, timeout: float = 170) -> tuple[int, str]:
    """The exit code (0: nothing found) and the report. `examples` of each operation, right and wrong;
    `folder` is where it may write."""
    program = clients_python().with_name("schemathesis")
    command = [str(program), "run", f"http://{address}/openapi.json", "--header", f"Authorization: Bearer {key}"]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--mode", "all", "--continue-on-failure"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--no-color"]
    variables = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout, check=False
    )
    return done.returncode, done.stdout + done.stderr
