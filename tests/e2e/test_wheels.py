"""The wheels in a clean environment outside the repository: installed as docs/install.md tells, then used as it tells.

The packages come from uv's cache or the configured package index; where there is neither, the tests fail.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages.installing import ROOT, clean_environment, environment, folders_with, uv
from tests.support.pages.markdown_pages import Page

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]
START = 500.0  # seconds; about 40 where nothing else runs. The first start compiles what it imports
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
DISK = Path("/var/tmp")  # 3 GB, linked from uv's cache: not in memory, where temporary files are otherwise
QUESTION = "What is the weight of the Alder Tent?"
CALLER = """
import sys
import trivet, trivet.client
from trivet.api.v1.inference_pb2 import GenerateRequest, Message
from trivet.client import Client, Target

print(trivet.__file__)
print(trivet.client.__file__)
request = GenerateRequest(route="assistant", messages=[Message(role="user", content=sys.argv[2])], unit_id="u")
with Client(Target(sys.argv[1])) as client, client.generate_stream(request) as events:
    print("".join(event.delta.text for event in events))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that holds the wheels, and a folder to work in, both outside the repository."""

    bin: Path
    folder: Path

    def run(self, *command: str, cwd: Path | None = None, **variables: str) -> str:
        """A program of the environment; its standard output."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd or self.folder,
            env=clean_environment() | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """The lines of docs/install.md for an environment of one's own, run in a copy of the sources."""
    with tempfile.TemporaryDirectory(prefix="trivet-wheels-", dir=DISK) as name:
        sources, folder = Path(name, "sources"), Path(name, "work")
        folder.mkdir()
        for part in ("clients", "deploy", "server", "proto"):
            shutil.copytree(ROOT / part, sources / part, ignore=NOT_COPIED)
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, sources)
        python = environment(Path(name, "venv"))
        for line in documented():
            uv(*as_set_up_here(line), cwd=sources, VIRTUAL_ENV=str(python.parents[1]))
        shutil.rmtree(sources)
        yield Installed(python.parent, folder)


def documented() -> list[list[str]]:
    """The page's `uv` lines from the building of the wheels to their installation, without the word `uv`."""
    code = "\n".join(block.text for block in Page(ROOT / "docs" / "install.md").blocks)
    lines = [shlex.split(line) for line in code.splitlines() if line.startswith(("uv build", "uv pip install"))]
    assert [line[1] for line in lines] == ["build", "build", "pip"]
    assert lines[-1][-1] == "trivet[cpu]"
    return [line[1:] for line in lines]


def as_set_up_here(line: list[str]) -> list[str]:
    """As the page tells: a folder of wheels that has the CPU build of torch instead of PyTorch's index."""
    folders = folders_with("torch-*+cpu-*.whl")
    if not folders or "--torch-backend" not in line:
        return line
    at = line.index("--torch-backend")
    return [*line[:at], *line[at + 2 :], *(word for folder in folders for word in ("--find-links", str(folder)))]


@contextmanager
def serving(installed: Installed, project: Path) -> Iterator[dict[str, Any]]:
    """`trivet serve` on free ports: its addresses once it is ready. It must end in order."""
    command = [str(installed.bin / "trivet"), "serve"]
    for option in ("--listen", "--admin-listen", "--metrics-listen"):
        command += [option, "127.0.0.1:0"]
    log, ready = installed.folder / "log", project / ".data" / "server.json"
    with (
        log.open("wb") as file,
        subprocess.Popen(command, cwd=project, stderr=file, env=clean_environment()) as process,
    ):
        try:
            deadline = time.monotonic() + START
            while not ready.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, f"not ready within {START:g} s:\n{log.read_text()}"
                time.sleep(0.2)
            yield json.loads(ready.read_text())
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()


def test_a_project_is_made_checked_served_and_asked(installed: Installed) -> None:
    version = installed.run("python", "-Ic", "from importlib.metadata import version; print(version('trivet-client'))")
    assert installed.run("trivet", "--version").split()[-1] == version.strip()
    project = installed.folder / "shop"
    installed.run("trivet", "init", "shop", "--model", str(ROOT / "models" / "demo" / "weights"))
    assert "is sound" in installed.run("trivet", "check", cwd=project)
    with serving(installed, project) as server:
        addresses = {"TRIVET_ADDRESS": server["listen"], "TRIVET_ADMIN_ADDRESS": server["admin_listen"]}
        installed.run("trivet", "index", "build", "products", cwd=project, **addresses)
        asked = json.loads(installed.run("trivet", "ask", QUESTION, "--unit", "u", "--json", **addresses))
        assert "2.4 kilograms" in asked["text"]
        assert [citation["document_id"] for citation in asked["citations"]] == ["alder-tent"]
        said = installed.run("python", "-Ic", CALLER, server["listen"], QUESTION).splitlines()
    package = installed.bin.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    assert said == [str(package / "trivet/__init__.py"), str(package / "trivet/client/__init__.py"), asked["text"]]


def test_no_package_contradicts_another(installed: Installed) -> None:
    """What the overrides leave out or replace is all that `uv pip check` may name."""
    done = subprocess.run(
        [os.fspath(Path(sys.executable).with_name("uv")), "pip", "check", "--python", installed.bin / "python"],
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = [line for line in done.stderr.splitlines() if " requires " in line]
    assert wrong, done.stderr
    known = ("setuptools", "torchvision", "torchaudio", "torchcodec", "triton")
    assert [line for line in wrong if not any(name in line for name in known)] == []
