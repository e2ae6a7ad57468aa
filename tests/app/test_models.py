"""A backend's model from a hub: fetched at the start, and what a check says before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine.tiny_model import make_model
from tests.support.sources.hub_server import hub_server
from trivet.app.models import engine_argument_problems, fetch_models, unfetched_models
from trivet.config import load_config

FILE = """\
version: 1
server: {{data_dir: data}}
backends:
  base: {{kind: embedded, model: "hub:acme/tiny", hub_endpoint: "{url}", engine_args: {engine_args}}}
routes:
  support:
    variants:
      a: {{weight: 1, backend: base, prompt: p@1}}
"""


class Told:
    """Remembers what a start would show."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.transfers: list[tuple[int, int]] = []

    def begin(self, stage: str) -> None:
        self.lines.append(stage)

    def done(self, stage: str, detail: str = "") -> None:
        self.lines.append(detail)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def transferred(self, stage: str, done: int, total: int) -> None:
        self.transfers.append((done, total))


def write(folder: Path, url: str = "http://127.0.0.1:1", engine_args: str = "{}") -> Path:
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Be kind.")
    (folder / "trivet.yaml").write_text(FILE.format(url=url, engine_args=engine_args))
    return folder / "trivet.yaml"


async def test_it_is_fetched_once_and_found_offline(tmp_path: Path) -> None:
    with hub_server() as hub:
        commit = hub.commit("acme/tiny", 7, make_model(tmp_path / "tiny"), "main")
        config = load_config(write(tmp_path, hub.url))
        (note,) = unfetched_models(config)
        assert note.startswith("backend base: hub:acme/tiny is fetched at the first start")
        told = Told()
        await fetch_models(config, told)
    folder = config.model_folder("base")
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "tiny" / "model.safetensors").read_bytes()
    assert told.lines[0] == "model hub:acme/tiny of backend base"
    assert told.lines[1].startswith(f"commit {commit[:12]}, digest ")
    size = (folder / "model.safetensors").stat().st_size
    assert (told.transfers[0], told.transfers[-1]) == ((0, size), (size, size))
    assert list(unfetched_models(config)) == []
    again = Told()
    await fetch_models(config, again)
    assert again.lines == []


@pytest.mark.engine
def test_values_that_vllm_does_not_take_have_file_and_line(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, engine_args="{quantization: awqq, enforce_eager: true}"))
    (problem,) = engine_argument_problems(config)
    assert problem.startswith(
        f"{tmp_path / 'trivet.yaml'}:4: backends.base.engine_args.quantization: 'awqq' is unknown"
    )
