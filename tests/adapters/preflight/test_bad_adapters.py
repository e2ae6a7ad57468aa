"""Every bad adapter is refused with its message and leaves nothing behind; what is good keeps answering meanwhile."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.adapters.bad_adapters import BAD_ADAPTERS, Bad
from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from tests.support.engine.tiny_model import adapter_files, make_model
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.cli.main import main
from trivet.errors import AdapterRejected
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import StagedAdapter
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A good adapter's folder, to be copied."""
    files = adapter_files(1)
    files.manifest["base"] = {"name": "tiny", "fingerprint": BaseModel(tiny_model).fingerprint}
    return write_adapter(tmp_path_factory.mktemp("good") / "1", files)


def spoiled(bad: Bad, good: Path, root: Path) -> Path:
    folder = shutil.copytree(good, root / "tone" / "1")
    bad.spoil(folder)
    return folder


@pytest.mark.process
@pytest.mark.parametrize("bad", BAD_ADAPTERS.values(), ids=BAD_ADAPTERS.keys())
def test_refused(bad: Bad, good: Path, tiny_model: Path, tmp_path: Path) -> None:
    spoiled(bad, good, tmp_path / "root")
    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 16)
    with pytest.raises(AdapterRejected, match=f"^adapter tone@1: .*{bad.message}"):
        AdapterStaging(settings).stage(REF)
    assert list(settings.staging.iterdir()) == []


def test_the_good_one_passes(good: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "root" / "tone" / "1")
    staging = AdapterStaging(AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 16))
    assert staging.stage(REF).rank == 8


@pytest.mark.parametrize("part", ["config.json", "tokenizer.json", "model.safetensors"])
def test_another_base_in_one_part(part: str, good: Path, tiny_model: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_model, tmp_path / "base")
    if part == "model.safetensors":
        shutil.copy(make_model(tmp_path / "other", seed=8) / part, base / part)
    else:
        (base / part).write_text(json.dumps(json.loads((base / part).read_text()) | {"more": 1}))
    shutil.copytree(good, tmp_path / "root" / "tone" / "1")
    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", base, 16)
    with pytest.raises(
        AdapterRejected, match=r"base\.fingerprint is [0-9a-f]{64}, but the base model that is served has"
    ):
        AdapterStaging(settings).stage(REF)


CONFIGURATION = """
version: 1
backends:
  local: {{kind: embedded, model: {model}}}
routes:
  plain:
    variants:
      only: {{weight: 1, backend: local, prompt: p@1}}
"""


@pytest.mark.parametrize("item", ["a pickle instead", "wrong shape", "DoRA", "weights linked out"])
def test_the_command_says_the_same(item: str, good: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "trivet.yaml").write_text(CONFIGURATION.format(model=tiny_model))
    folder = spoiled(BAD_ADAPTERS[item], good, tmp_path / "root")
    result = CliRunner().invoke(main, ["adapter", "check", str(folder), "--config", str(tmp_path / "trivet.yaml")])
    assert result.exit_code == 1
    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 16)
    with pytest.raises(AdapterRejected) as refused:
        AdapterStaging(settings).stage(REF)
    assert str(refused.value).removeprefix("adapter tone@1: ") in " ".join(result.output.split())


class TestBesideNeighbours:
    """With all of the engine's slots in use by good ones."""

    pytestmark = SESSION_ENGINE

    async def test_neighbours_keep_answering(
        self,
        tiny_engine: EmbeddedVllm,
        tiny_adapters: dict[str, StagedAdapter],
        tiny_model: Path,
        good: Path,
        tmp_path: Path,
    ) -> None:
        neighbours = [tiny_adapters["red"], tiny_adapters["green"]]
        wanted = [request(range(5, 40), adapter, max_tokens=32) for adapter in neighbours]
        alone = [text(await collect(tiny_engine, one)) for one in wanted]
        done = asyncio.Event()

        async def answers(index: int) -> list[str]:
            found: list[str] = []
            while not done.is_set() or not found:
                found.append(text(await collect(tiny_engine, wanted[index])))
            return found

        answering = [asyncio.create_task(answers(index)) for index in range(len(wanted))]
        for number, bad in enumerate(BAD_ADAPTERS.values()):
            root = tmp_path / str(number)
            spoiled(bad, good, root / "root")
            staging = AdapterStaging(AdapterSettings((root / "root",), tmp_path / "staged", tiny_model, 8))
            with pytest.raises(AdapterRejected, match=bad.message):
                await asyncio.to_thread(staging.stage, REF)
        done.set()
        for index, found in enumerate(await asyncio.gather(*answering)):
            assert set(found) == {alone[index]}
        assert list((tmp_path / "staged").iterdir()) == []
