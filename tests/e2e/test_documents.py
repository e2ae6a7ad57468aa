"""The shell commands of README and docs, run as they stand against one real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages.markdown_pages import ROOT, Block, pages
from tests.support.retrieval.pdf_files import pdf
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

# Pages that other tests hold: test_use_case.py plays the first from start to end, the examples of the second
# are parsed against the real command (tests/cli), packages are installed by tests/e2e/test_wheels.py and tests/client.
OWN_TESTS = {"your_use_case.md", "cli.md", "install.md", "clients.md"}
FILES = {
    "notes/opening.md": b"# Opening\n\nThe shop opens at nine.\n",
    "notes/parking.md": b"# Parking\n\nThere are ten places.\n",
    "manual.pdf": pdf([["Press the button for three seconds."]]),
    "offer.md": b"# Offer\n\nTwo for one.\n",
    "prices.jsonl": b'{"id": "price-acme", "text": "Acme pays 7 euros."}\n',
}
ADDED = ["opening", "parking", "manual", "offer"]


def blocks() -> list[Any]:
    """Every block of commands that no comment excepts."""
    found = [block for page in pages() if page.path.name not in OWN_TESTS for block in page.blocks]
    found = [block for block in found if block.language in ("sh", "console") and block.note[0] != "not run"]
    return [pytest.param(block, id=str(block)) for block in found]


@pytest.fixture(scope="module")
def folder(server: ServerProcess, served_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like the repository, with `trivet` in .venv/bin and some files of somebody's own."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("adapters", "evals", "indexes", "models", "prompts"):
        shutil.copytree(ROOT / name, folder / name)  # what commands write must not land in the repository
    (folder / "trivet.yaml").symlink_to(served_config)
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    command = folder / ".venv" / "bin" / "trivet"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m trivet.cli "$@"\n')
    command.chmod(0o755)
    yield folder
    with Client(server.target) as client:
        client.delete_documents("handbook", ADDED)
        client.delete_documents("handbook", ["price-acme"], tenant="acme")


def commands(block: Block) -> str:
    """What is typed, without what is printed."""
    if block.language == "sh":
        return block.text
    return "\n".join(line[2:] for line in block.text.splitlines() if line.startswith("$ "))


@pytest.mark.engine
@pytest.mark.parametrize("block", blocks())
def test_the_commands_of_the_documents_work(block: Block, server: ServerProcess, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIVET_")}
    environment |= {
        "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}",
        "TRIVET_ADDRESS": server.target.address,
        "TRIVET_ADMIN_ADDRESS": server.target.admin_address,
        "TRIVET_DATA_DIR": str(server.data_dir),
    }
    text = commands(block).replace("127.0.0.1:7602", server.metrics_address)
    assert text.strip(), f"{block} has no commands"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
