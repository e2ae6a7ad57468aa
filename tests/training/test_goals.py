"""Trainings by preferences and by rewards, from recipe to folder: scored, left at a step and taken up, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.support.engine.training_base import sums, write_lines, write_recipe
from tests.training.test_job import Killed, Watch, adapter_bytes
from trivet.adapters.preflight.peft_config import read_peft_config
from trivet.cli.adapter.recipe import load_recipe
from trivet.errors import AdapterRejected, ConfigError, FailedPrecondition
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.training import Job
from trivet.training.chats import Chat, encode, render
from trivet.training.folder import digest
from trivet.training.run import run
from trivet.types.request import Message
from trivet.types.variant import VersionRef

pytestmark = pytest.mark.process

REWARDS = {"judged": ["label_accuracy", "format_valid"], "labels": [str(number) for number in range(1100)]}
DPO = {"objective": "dpo", "steps": 8, "beta": 0.2}
GRPO = {"objective": "grpo", "steps": 6, "batch_tokens": 400, "group": 4, "max_new_tokens": 3, "rewards": REWARDS}


def pairs(numbers: range) -> list[dict[str, Any]]:
    rejected = [{"role": "assistant", "content": "?"}]
    chats = [chat["messages"] for chat in sums(numbers)]
    return [{"prompt": chat[:1], "chosen": chat[1:], "rejected": rejected} for chat in chats]


def job_of(base: Path, folder: Path, training: dict[str, Any], **changes: Any) -> Job:
    path = write_recipe(folder, base, training=training, **changes)
    if training["objective"] == "dpo":
        write_lines(folder / "train.jsonl", pairs(range(60)))
        write_lines(folder / "held-out.jsonl", pairs(range(1000, 1030)))
    return load_recipe(path)


@pytest.mark.parametrize("training", [DPO, GRPO], ids=["dpo", "grpo"])
def test_killed_and_run_again_it_gives_the_same_bytes(base: Path, tmp_path: Path, training: dict[str, Any]) -> None:
    job = job_of(base, tmp_path, training)
    whole = replace(job, out=tmp_path / "whole")
    run(whole, Watch(), scored=False)
    with pytest.raises(Killed):
        run(job, Watch(5), scored=False)
    again = Watch()
    run(job, again, scored=False)
    assert again.notes == [f"going on at step 4 of {training['steps']}"]
    assert adapter_bytes(job.target) == adapter_bytes(whole.target)


def test_preferences_are_scored_against_the_start_with_an_interval(base: Path, tmp_path: Path) -> None:
    watch = Watch()
    manifest = run(job_of(base, tmp_path, DPO | {"lr": 0.01}), watch)
    assert [stage for stage, _, _ in watch.stages] == [
        "reading chats", "asking the reference", "training", "scoring the adapter", "scoring what it began with",
    ]  # fmt: skip
    assert (manifest["recipe"]["objective"], manifest["recipe"]["beta"]) == ("dpo", 0.2)
    found = manifest["metrics"]["held_out"]
    assert found["n"] == 30
    assert found["fell"]["low"] > 0  # the objective, on pairs that were never seen
    assert found["loss"] < 0.6931
    assert {"right", "share", "low", "high"} <= set(found) & {*found["base"], *found}


def test_rewards_are_scored_and_a_training_goes_on_from_another(base: Path, tmp_path: Path) -> None:
    first = load_recipe(write_recipe(tmp_path, base))
    run(first, Watch(), scored=False)
    job = job_of(base, tmp_path, GRPO | {"start": "adapters/sums/1", "steps": 2}, version="2")
    assert job.recipe.start == digest(first.target)
    manifest = run(job, Watch())
    assert manifest["recipe"]["rewarded"] == {**REWARDS, "value": "answer"}
    found = manifest["metrics"]["held_out"]
    assert set(found) == {"n", "digest", "reward", "drawn", "gained", "drawn_gained", "base"}
    for name, gained in (("reward", "gained"), ("drawn", "drawn_gained")):
        difference = found[name]["mean"] - found["base"][name]["mean"]
        assert found[gained]["mean"] == pytest.approx(difference, abs=2e-4)
    assert {"reward", "telling", "loss"} <= set(manifest["metrics"])
    other = job_of(base, tmp_path, GRPO | {"start": "adapters/sums/1", "rank": 8}, version="3")
    with pytest.raises(FailedPrecondition, match=r"cannot be trained on by this recipe: r is 4, the recipe has 8"):
        run(other, Watch())
    assert not other.target.parent.joinpath(".3.training").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_are_refused_without_a_gpu_and_say_what_is_missing(base: Path, tmp_path: Path) -> None:
    job = load_recipe(write_recipe(tmp_path, base, training={"method": "qlora"}))
    with pytest.raises(FailedPrecondition, match=r"method qlora holds the base in 4 bits, for which a CUDA GPU"):
        run(job, Watch())
    assert not (job.target.parent / ".1.training").exists()


def test_servers_take_rslora_and_have_dora_merged(base: Path, tmp_path: Path) -> None:
    for version, method in (("1", "rslora"), ("2", "dora")):
        job = load_recipe(write_recipe(tmp_path, base, version=version, training={"method": method, "steps": 2}))
        run(job, Watch(), scored=False)
    taken = read_peft_config(tmp_path / "adapters" / "sums" / "1" / "adapter_config.json", 8)
    assert (taken.rslora, taken.scale_of("model.layers.0.mlp.up_proj")) == (True, 8 / 4**0.5)
    dora = tmp_path / "adapters" / "sums" / "2" / "adapter_config.json"
    with pytest.raises(AdapterRejected, match="`trivet adapter merge` takes it"):
        read_peft_config(dora, 8)
    assert read_peft_config(dora, 8, to_merge=True).dora


def test_a_prompt_that_leaves_no_room_for_an_answer_is_told(base: Path, tmp_path: Path) -> None:
    job = job_of(base, tmp_path, GRPO | {"max_new_tokens": 2040})
    with pytest.raises(ConfigError, match=r"train.jsonl:1: messages: has \d{4} tokens, the base reads 2048 at most"):
        run(job, Watch())


NO_SYSTEM = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<{{ message['role'] }}>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LEAVES_OUT = NO_SYSTEM.replace("{{ raise_exception('no system role') }}{% endif %}", "{% else %}").replace(
    "</s>{% endfor %}", "</s>{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("template", [NO_SYSTEM, LEAVES_OUT], ids=["refuses", "leaves out"])
def test_a_system_text_is_laid_out_as_the_server_does_where_the_template_has_no_such_role(
    base: Path, tmp_path: Path, template: str
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in base.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    (tmp_path / "1.md").write_text("Be short.")
    prompt = read_prompt(VersionRef("p", "1"), tmp_path / "1.md")
    said = [Message("user", "two?"), Message("assistant", "2"), Message("user", "three?")]
    assembler = PromptAssembler(prompt, ChatTokenizer.load(model))
    served = assembler.assemble(said, context_tokens=2048, max_tokens=1)
    tokenizer = AutoTokenizer.from_pretrained(model)
    chat: Chat = [{"role": "system", "content": "Be short."}]
    chat += [{"role": one.role, "content": one.content} for one in said]  # type: ignore[typeddict-item]
    assert render(tokenizer, chat, prompt=True) == list(served.token_ids)
    chat[2]["learned"] = False
    example = encode(tokenizer, [*chat, {"role": "assistant", "content": "3"}])
    assert example.ids[: len(served.token_ids)] == list(served.token_ids)
    assert example.learned.index(True) == len(served.token_ids)
