"""Training an adapter on a tiny model, end to end: what is learned, what is written, what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from tiny_model import make_model
from trivet.training import Chat, Recipe, Step, fingerprint, train, write
from trivet.training.chats import batches, encode
from trivet.training.folder import digest

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CHAT: Chat = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "and three?"},
    {"role": "assistant", "content": "3"},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_model(tmp_path_factory.mktemp("training") / "base")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"chat_template": TEMPLATE}
    path.write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base)


def endless() -> Iterator[Chat]:
    while True:
        yield CHAT


def test_only_what_the_assistant_says_is_learned(tokenizer: Any) -> None:
    example = encode(tokenizer, CHAT)
    learned = [token for token, wanted in zip(example.ids, example.learned, strict=True) if wanted]
    assert tokenizer.decode(learned) == "2</s>3</s>"


def test_a_turn_that_is_only_shown_is_not_learned(tokenizer: Any) -> None:
    shown: Chat = [*CHAT[:2], {"role": "assistant", "content": "2", "learned": False}, *CHAT[3:]]
    example = encode(tokenizer, shown)
    assert example.ids == encode(tokenizer, CHAT).ids
    learned = [token for token, wanted in zip(example.ids, example.learned, strict=True) if wanted]
    assert tokenizer.decode(learned) == "3</s>"


def test_a_chat_must_end_with_the_assistant(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="ends with an assistant message"):
        encode(tokenizer, CHAT[:2])


def test_batches_stay_within_their_tokens_and_pad_without_labels(tokenizer: Any) -> None:
    chats: list[Chat] = [
        [{"role": "user", "content": "x" * length}, {"role": "assistant", "content": "y"}] for length in range(1, 40)
    ]
    rows = 0
    for batch in batches(tokenizer, iter(chats), tokens=128):
        assert batch.ids.numel() <= 128
        assert (batch.labels[batch.mask == 0] == -100).all()
        rows += len(batch.ids)
    assert rows == len(chats)


def test_rate_warms_up_and_decays_to_nothing() -> None:
    recipe = Recipe(steps=100, lr=1.0, warm_up=10)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 90)
    assert rates == sorted(rates[:11]) + sorted(rates[11:], reverse=True)


def test_training_lowers_the_loss_and_leaves_the_base_alone(base: Path) -> None:
    before = fingerprint(base)
    steps: list[Step] = []
    train(base, "tiny", endless(), Recipe(steps=12, warm_up=2, lr=5e-3, batch_tokens=256), steps.append)
    assert [step.number for step in steps] == list(range(1, 13))
    assert steps[-1].loss < steps[0].loss * 0.8
    assert fingerprint(base) == before


def test_too_few_chats_are_refused(base: Path) -> None:
    with pytest.raises(ValueError, match="the chats ended at step 1 of 5"):
        train(base, "tiny", islice(endless(), 2), Recipe(steps=5, warm_up=1))


def test_the_folder_names_its_base_and_its_bytes(base: Path, tmp_path: Path) -> None:
    recipe = Recipe(steps=2, warm_up=1, batch_tokens=256)
    model = train(base, "tiny", endless(), recipe)
    folder = tmp_path / "short" / "1"
    write(model, folder, name="short", version="1", base=base, base_name="tiny", recipe={"steps": 2})
    manifest = yaml.safe_load((folder / "adapter.yaml").read_text())
    config = (folder / "adapter_config.json").read_bytes()
    weights = (folder / "adapter_model.safetensors").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter.yaml",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert manifest["base"] == {"name": "tiny", "fingerprint": fingerprint(base)}
    assert manifest["digest"] == digest(folder) == hashlib.sha256(config + weights).hexdigest()
    assert json.loads(config)["base_model_name_or_path"] == "tiny"
    assert str(base) not in config.decode()


def test_the_same_recipe_gives_the_same_weights(base: Path) -> None:
    recipe = Recipe(steps=3, warm_up=1, batch_tokens=256)
    first, second = (train(base, "tiny", endless(), recipe).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
