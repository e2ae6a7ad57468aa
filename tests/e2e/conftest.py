"""One real server for all end-to-end tests: the demo's configuration, model, adapters and index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.retrieval.exported_models import with_exports
from trivet.cli.demo.table import DemoTable
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.config import load_config

ROOT = Path(__file__).parents[2]
RAW = "  raw:\n    variants: {raw: {weight: 1, backend: local, prompt: raw@1}}\n"


@pytest.fixture(scope="session")
def served_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's configuration, with time for retrieval: these tests are not about speed. As in the demo, each arm of
    the handbook's suite has a route beside its own ones; and there is one that continues texts."""
    folder = tmp_path_factory.mktemp("config")
    for name in ("adapters", "evals", "indexes", "models"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    (folder / "prompts" / "raw").mkdir()
    (folder / "prompts" / "raw" / "1.md").write_text("---\nraw: true\n---\n")
    text = (ROOT / "trivet.yaml").read_text()
    assert "deadline_ms: 150" in text
    text = text.replace("deadline_ms: 150", "deadline_ms: 3000")
    assert "  support-json:\n" in text
    text = text.replace("  support-json:\n", "  support-json:\n    allow: [tools]\n")
    text = text.replace("  support:\n", f"{RAW}  support:\n    allow: [n]\n")
    (folder / "trivet.yaml").write_text(text)
    return DemoTable(load_config(folder / "trivet.yaml")).server_config


@pytest.fixture(scope="session")
def server(
    served_config: Path, embedding_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A running server with its handbook index built."""
    data = with_exports(tmp_path_factory.mktemp("server"), embedding_cache)
    with ServerProcess(served_config, data) as process:
        with Client(process.target) as client:
            built = [event.built for event in client.build_index("handbook") if event.HasField("built")]
            assert built[0].documents > 40
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    """A client of it."""
    with Client(server.target, timeout=30) as open_client:
        yield open_client
