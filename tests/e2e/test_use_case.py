"""docs/your_use_case.md, played as it stands, in an empty folder outside the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.support.pages.markdown_pages import ROOT, Block, Page
from tests.support.retrieval.exported_models import with_exports
from tests.support.retrieval.pdf_files import pdf
from trivet.cli.server.process import ServerProcess

PAGE = Page(ROOT / "docs" / "your_use_case.md")
TRAILER = "The weight of the Kestrel Trailer is 12 kilograms."


class Reader:
    """Somebody who follows the page: a home with a PDF in it, a shell, and the folder that they are in."""

    def __init__(self, home: Path, stack: ExitStack, embedding_cache: Path) -> None:
        self.folder = home / "empty"
        self.folder.mkdir()
        (home / "trailer.pdf").write_bytes(pdf([[TRAILER]]))
        command = home / "bin" / "trivet"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m trivet.cli "$@"\n')
        command.chmod(0o755)
        self._stack = stack
        self._embedding_cache = embedding_cache
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIVET_")}
        self._environment |= {"HOME": str(home), "PATH": f"{command.parent}:{os.environ['PATH']}"}
        self._address = ""
        self.said = ""

    def follow(self, block: Block) -> None:
        """Do what a block of the page says; what is printed is in `said`."""
        match block.note[0], block.language:
            case "server", _:
                self._serve()
            case "replaces", "yaml":
                self._replace(block)
            case "not run", _:
                pass
            case "run", "python":
                self._run([sys.executable, "-c", block.text.replace("127.0.0.1:7600", self._address)])
            case _, "sh":
                self._run(["bash", "-euo", "pipefail", "-c", f"{block.text}\npwd > {self.folder.parent}/pwd"])
                self.folder = Path((self.folder.parent / "pwd").read_text().strip())
            case _:
                raise AssertionError(f"{block}: nothing says what to do with it")

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=150
        )
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, self.said

    def _serve(self) -> None:
        data = with_exports(self.folder / ".data", self._embedding_cache)
        server = self._stack.enter_context(ServerProcess(self.folder / "trivet.yaml", data))
        self._address = server.target.address
        self._environment["TRIVET_ADDRESS"] = server.target.address
        self._environment["TRIVET_ADMIN_ADDRESS"] = server.target.admin_address

    def _replace(self, block: Block) -> None:
        path = self.folder / "trivet.yaml"
        (section,) = yaml.safe_load(block.text)
        assert section == block.note[1]
        others = re.sub(rf"^{section}:\n(?: .*\n|\n)*", "", path.read_text(), flags=re.MULTILINE)
        path.write_text(f"{others}\n{block.text}\n")


@pytest.fixture
def reader(tmp_path: Path, embedding_cache: Path) -> Iterator[Reader]:
    """A reader in an empty folder; their server is stopped at the end."""
    with ExitStack() as stack:
        yield Reader(tmp_path, stack, embedding_cache)


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_a_reader_of_the_page_gets_what_it_promises(reader: Reader) -> None:
    said = []
    for block in PAGE.blocks:
        reader.follow(block)
        said.append((block.text, reader.said))
        reader.said = ""
    answers = dict(said)

    def after(start: str) -> str:
        return next(answers[text] for text in answers if text.startswith(start))

    asked = after("trivet index build products")
    assert "50 euros\n  [1] tandem " in asked, asked
    assert "12 kilograms\n  [1] trailer " in asked, asked
    assert "70 kilometres" in asked, asked
    assert "4 euros" in after("echo"), after("echo")
    checked = next(text for block, text in said if block == "trivet check")
    assert "shop" in checked, checked
    assert re.search(r"polite@1.*ready", after("trivet check\ntrivet reload")), after("trivet check\ntrivet reload")
    lines = re.findall(r"^(\w+) (stable|candidate) (polite@1)?", after("import grpc"), re.MULTILINE)
    assert len(lines) == 4
    assert all((adapter == "polite@1") == (name == "candidate") for _, name, adapter in lines)
