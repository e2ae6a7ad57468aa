"""What PEFT can write and the preflight accepts, the engine answers as PEFT does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.adapters.peft_answers import PeftAnswers, readable
from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from tests.support.engine.tiny_model import MODULES, adapter_files, module_shapes
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.testing.adapters import AdapterFiles, write_adapter
from trivet.types.variant import VersionRef

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(7, 47))
TOKENS = 12
SEED = 5


def with_config(files: AdapterFiles, **changes: Any) -> AdapterFiles:
    return replace(files, config=files.config | changes)


def ranks(files: AdapterFiles, module: str, rank: int) -> AdapterFiles:
    """The modules whose names end so cut to another rank."""

    def narrow(name: str, values: Any) -> Any:
        if module not in name:
            return values
        return values[:rank] if "lora_A" in name else np.ascontiguousarray(values[:, :rank])

    return replace(files, tensors={name: narrow(name, values) for name, values in files.tensors.items()})


def only(files: AdapterFiles, keep: Callable[[str], bool]) -> AdapterFiles:
    return replace(files, tensors={name: values for name, values in files.tensors.items() if keep(name)})


PLAIN = adapter_files(SEED)
WRITTEN = {
    "plain": PLAIN,
    "rslora": with_config(PLAIN, use_rslora=True, lora_alpha=4),
    "rank of some modules": with_config(ranks(PLAIN, "k_proj", 3), rank_pattern={"k_proj": 3}),
    "rank of one layer's module": with_config(
        ranks(PLAIN, "layers.1.mlp.up_proj", 4), rank_pattern={"layers.1.mlp.up_proj": 4}
    ),
    "alpha of some modules": with_config(PLAIN, alpha_pattern={"q_proj": 1, "mlp.down_proj": 20.5}),
    "first fitting key of several": with_config(PLAIN, alpha_pattern={"layers.0.self_attn.o_proj": 2, "o_proj": 30}),
    "rank and alpha patterns with rslora": with_config(
        ranks(PLAIN, "v_proj", 2), use_rslora=True, rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 9, "^model": 3}
    ),
    "one layer": with_config(only(PLAIN, lambda name: "layers.1" in name), layers_to_transform=1),
    "some modules left out": with_config(
        only(PLAIN, lambda name: "_proj" in name and "mlp" not in name),
        target_modules=".*_proj",
        exclude_modules=["gate_proj", "up_proj", "down_proj"],
    ),
    "a pattern of targets": with_config(only(PLAIN, lambda name: "q_proj" in name), target_modules=r".*\.(q|r)_proj"),
    "all linear ones": with_config(PLAIN, target_modules="all-linear"),
    "fan_in_fan_out, which this base has not": with_config(PLAIN, fan_in_fan_out=True),
    "a negative scale": with_config(PLAIN, lora_alpha=-8),
    "half precision": replace(PLAIN, tensors={k: v.astype(np.float16) for k, v in PLAIN.tensors.items()}),
}
SAME = {"plain", "all linear ones", "fan_in_fan_out, which this base has not", "half precision"}


@pytest.fixture(scope="module")
def peft(tiny_model: Path) -> PeftAnswers:
    return PeftAnswers(tiny_model)


async def test_as_peft_answers(tiny_engine: EmbeddedVllm, tiny_model: Path, peft: PeftAnswers, tmp_path: Path) -> None:
    assert set(PLAIN.config["target_modules"]) == set(MODULES)
    assert len(PLAIN.tensors) == 2 * len(module_shapes())
    staging = AdapterStaging(AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 8))
    answers: dict[str, str] = {}
    for number, (name, files) in enumerate(WRITTEN.items()):
        write_adapter(tmp_path / "root" / "tone" / str(number), files)
        staged = await asyncio.to_thread(staging.stage, VersionRef("tone", str(number)))
        await tiny_engine.load_adapter(staged)
        answers[name] = readable(text(await collect(tiny_engine, request(PROMPT, staged, max_tokens=TOKENS))))
        await tiny_engine.unload_adapter(staged.engine_name)
        assert answers[name] == await asyncio.to_thread(peft.text, staged.path, PROMPT, TOKENS), name
    # Each setting shows: an engine that passed over it would answer as with the plain one.
    assert {name for name, answer in answers.items() if answer == answers["plain"]} == SAME
