"""The vocabulary's LoRA in the real engine, and what it cannot serve, merged: answers are PEFT's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.adapters.peft_answers import PeftAnswers, readable
from tests.support.adapters.trained_folders import TRAINED
from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text, tiny_settings
from tests.support.engine.tiny_model import HIDDEN, VOCABULARY, adapter_files, module_shapes
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.app.adapters.importing import import_adapter
from trivet.app.adapters.merging import merge
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.config import Config
from trivet.testing.adapters import AdapterFiles, random_adapter, write_adapter
from trivet.types.adapter import FolderAdapter, StagedAdapter
from trivet.types.variant import VersionRef

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(7, 47))
TOKENS = 12
REF = VersionRef("tone", "1")


def on_vocabulary(seed: int, rank: int, *, head: bool, embedding: bool, **config: Any) -> AdapterFiles:
    """A random adapter on the attention and on one or both of the vocabulary's matrices."""
    shapes = {name: shape for name, shape in module_shapes().items() if "q_proj" in name}
    files = random_adapter(shapes | ({"lm_head": (VOCABULARY, HIDDEN)} if head else {}), seed, rank)
    if embedding:
        random = np.random.default_rng(seed)
        name = "base_model.model.model.embed_tokens.lora_embedding_"
        low = random.standard_normal((rank, VOCABULARY)).astype(np.float32)
        high = (random.standard_normal((HIDDEN, rank)) / np.sqrt(rank)).astype(np.float32)
        tensors = files.tensors | {f"{name}A": low, f"{name}B": high}
        targets = [*files.config["target_modules"], "embed_tokens"]
        files = replace(files, tensors=tensors, config=files.config | {"target_modules": targets})
    return replace(files, config=files.config | config)


ADAPTERS = {
    "head": on_vocabulary(31, 8, head=True, embedding=False),
    "embedding": on_vocabulary(32, 8, head=False, embedding=True),
    "both, with other scales": on_vocabulary(
        33, 4, head=True, embedding=True, use_rslora=True, alpha_pattern={"lm_head": 6, "embed_tokens": 1}
    ),
}


@pytest.fixture(scope="module")
def peft(tiny_model: Path) -> PeftAnswers:
    return PeftAnswers(tiny_model)


async def load(engine: EmbeddedVllm, base: Path, folder: Path, files: AdapterFiles, version: str) -> StagedAdapter:
    write_adapter(folder / "root" / "tone" / version, files)
    staging = AdapterStaging(AdapterSettings((folder / "root",), folder / "staged", base, 8))
    staged = await asyncio.to_thread(staging.stage, VersionRef("tone", version))
    await engine.load_adapter(staged)
    return staged


async def test_the_vocabularys_lora_is_served_as_peft_answers(
    tiny_engine: EmbeddedVllm, tiny_model: Path, peft: PeftAnswers, tmp_path: Path
) -> None:
    answers = [readable(text(await collect(tiny_engine, request(PROMPT, max_tokens=TOKENS))))]
    for number, (name, files) in enumerate(ADAPTERS.items()):
        staged = await load(tiny_engine, tiny_model, tmp_path, files, str(number))
        answers.append(readable(text(await collect(tiny_engine, request(PROMPT, staged, max_tokens=TOKENS)))))
        await tiny_engine.unload_adapter(staged.engine_name)
        assert answers[-1] == await asyncio.to_thread(peft.text, staged.path, PROMPT, TOKENS), name
    assert len(set(answers)) == len(answers)


async def test_base_requests_beside_embeddings_lora_are_the_bases(
    tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path
) -> None:
    """With all slots taken by adapters that change the embedding."""
    loaded = [
        await load(tiny_engine, tiny_model, tmp_path, on_vocabulary(seed, 8, head=True, embedding=True), str(seed))
        for seed in (41, 42)
    ]
    cases = [(number, adapter) for number in range(4) for adapter in (None, *loaded)]

    async def answer(number: int, adapter: StagedAdapter | None, salt: str) -> str:
        prompt = (*range(5, 40), *[100 + number] * 3)
        asked = request(prompt, adapter, max_tokens=TOKENS, request_id=f"{number}-{adapter}-{salt}", cache_salt=salt)
        return text(await collect(tiny_engine, asked))

    alone = [await answer(*case, "alone") for case in cases]
    mixed = await asyncio.gather(*(answer(*case, "mixed") for case in cases))
    for staged in loaded:
        await tiny_engine.unload_adapter(staged.engine_name)
    assert len(set(alone)) == len(cases)
    assert mixed == alone


@pytest.mark.parametrize("name", ["unsloth, embeddings saved with it", "axolotl with FSDP"])
async def test_what_was_imported_is_served_as_peft_answers(
    name: str, tiny_engine: EmbeddedVllm, tiny_model: Path, peft: PeftAnswers, tmp_path: Path
) -> None:
    folder = TRAINED[name].write(tmp_path / "outputs", tiny_model)
    imported = import_adapter(no_configuration, folder, "tone", base=str(tiny_model), to=tmp_path / "root")
    staging = AdapterStaging(AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 8))
    staged = await asyncio.to_thread(staging.stage, imported.ref)
    await tiny_engine.load_adapter(staged)
    answer = readable(text(await collect(tiny_engine, request(PROMPT, staged, max_tokens=TOKENS))))
    await tiny_engine.unload_adapter(staged.engine_name)
    expected = write_adapter(tmp_path / "expected", adapter_files(21))
    assert answer == await asyncio.to_thread(peft.text, expected, PROMPT, TOKENS)


def no_configuration() -> Config:
    raise AssertionError("no configuration is needed")


class Silent:
    """Nobody is told how far it is."""

    def begin(self, stage: str, total: int, done: int = 0) -> None: ...

    def advance(self, detail: str = "") -> None: ...


@asynccontextmanager
async def engine_of(model: Path, data: Path) -> AsyncIterator[EmbeddedVllm]:
    backend = EmbeddedVllm(tiny_settings(model, data, max_loras=0))
    try:
        await backend.start()
        yield backend
    finally:
        await backend.close()


@pytest.mark.parametrize("kind", ["low rank on all", "head and embedding whole"])
async def test_a_merged_model_in_the_engine_answers_as_peft_does(
    kind: str, tiny_model: Path, peft: PeftAnswers, tmp_path: Path
) -> None:
    files = replace(ADAPTERS["both, with other scales"])
    if kind == "head and embedding whole":
        random = np.random.default_rng(5)
        whole = {
            f"base_model.model.{name}.weight": random.standard_normal((VOCABULARY, HIDDEN)).astype(np.float32)
            for name in ("lm_head", "model.embed_tokens")
        }
        files = adapter_files(34)
        config = files.config | {"modules_to_save": ["lm_head", "embed_tokens"]}
        files = replace(files, tensors=files.tensors | whole, config=config)
    adapter = write_adapter(tmp_path / "outputs", files)
    (adapter / "adapter.yaml").unlink()
    merge(tiny_model, (FolderAdapter(REF, adapter),), REF, tmp_path / "merged", Silent())
    async with engine_of(tmp_path / "merged", tmp_path / "data") as engine:
        answer = readable(text(await collect(engine, request(PROMPT, max_tokens=TOKENS))))
    assert answer == await asyncio.to_thread(peft.text, adapter, PROMPT, TOKENS)
