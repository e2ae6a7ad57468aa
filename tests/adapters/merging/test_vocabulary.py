"""Merging what engines do not serve: modules trained whole, LoRA on the vocabulary, more tokens. As PEFT answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tokenizers import Tokenizer

from tests.support.engine.later import Later
from tests.support.engine.tiny_model import VOCABULARY, make_model
from trivet.adapters.merging.merged_model import TOKENIZER, MergedModel
from trivet.adapters.merging.merged_weights import MAX_RANK
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected
from trivet.types.adapter import FolderAdapter
from trivet.types.variant import VersionRef

torch, peft, transformers = Later("torch"), Later("peft"), Later("transformers")
tensor_files = Later("safetensors.torch")

REF = VersionRef("tone", "1")
TOLERANCE = 1e-4  # of the largest logit: float32 sums in another order
ADDED = 5
KINDS: dict[str, dict[str, Any]] = {
    "head and embedding whole": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "head whole": {"modules_to_save": ["lm_head"]},
    "embedding whole": {"modules_to_save": ["embed_tokens"]},
    "norms whole": {"modules_to_save": ["norm", "input_layernorm"]},
    "LoRA on the head": {"target_modules": ["q_proj", "lm_head"]},
    "LoRA on the embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "LoRA on both, with patterns": {
        "target_modules": ["v_proj", "lm_head", "embed_tokens"],
        "rank_pattern": {"lm_head": 2},
        "alpha_pattern": {"embed_tokens": 20},
        "use_rslora": True,
    },
    "DoRA on the head": {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
    "head whole, LoRA on the embedding": {"target_modules": ["q_proj", "embed_tokens"], "modules_to_save": ["lm_head"]},
}


def tied(base: Path, folder: Path) -> Path:
    """The tiny model with its embedding as output head."""
    shutil.copytree(base, folder)
    tensors = tensor_files.load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    tensor_files.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(params=["untied", "tied"])
def base(request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path) -> Path:
    return tied(tiny_model, tmp_path / "base") if request.param == "tied" else tiny_model


def train(folder: Path, base: Path, added: int = 0, **lora: Any) -> Any:
    """What PEFT saves of random weights, as a trainer's folder; gives the model in PEFT."""
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if added:
        model.resize_token_embeddings(VOCABULARY + added, mean_resizing=False)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **{"target_modules": ["q_proj"], **lora})
    )
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_magnitude" in name:
                weight.mul_(0.5 + torch.rand_like(weight))
            elif "lora_embedding" in name:
                weight.copy_(torch.randn_like(weight))
            elif "lora_" in name:
                weight.copy_(torch.randn_like(weight) / weight.shape[-1] ** 0.5)
            elif "modules_to_save" in name or (added and name.endswith(("embed_tokens.weight", "lm_head.weight"))):
                weight.add_(torch.randn_like(weight) * weight.abs().mean())
    adapted.save_pretrained(folder)
    for name in ("optimizer.pt", "training_args.bin"):
        (folder / name).write_bytes(b"\x80\x04.")
    return adapted.eval()


def merge(base: Path, adapter: Path, target: Path) -> dict[str, Any]:
    """As the command does with a trainer's folder."""
    staging = target.parent / f"{target.name}-staging"
    place = FolderAdapter(REF, adapter)
    settings = AdapterSettings((place,), staging, base, MAX_RANK, to_merge=True, beside=TOKENIZER)
    target.mkdir()
    return dict(MergedModel(BaseModel(base), AdapterStaging(settings).stage(REF)).write(target))


def logits(model: Any, tokens: int = VOCABULARY) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        return model(input_ids=torch.randint(3, tokens, (3, 40))).logits


def assert_same(expected: Any, merged: Path, tokens: int = VOCABULARY) -> None:
    model, problems = transformers.AutoModelForCausalLM.from_pretrained(
        merged, dtype=torch.float32, output_loading_info=True
    )
    assert not any(problems.values()), problems
    found = logits(model, tokens)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_pefts(kind: str, base: Path, tmp_path: Path) -> None:
    adapted = train(tmp_path / "outputs", base, **KINDS[kind])
    before = logits(transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))
    expected = logits(adapted)
    assert (expected - before).abs().max() > before.abs().max() / 10, "the adapter changes too little to tell"
    told = merge(base, tmp_path / "outputs", tmp_path / "merged")
    assert_same(expected, tmp_path / "merged")
    loaded = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), tmp_path / "outputs"
    )
    assert_same(logits(loaded), tmp_path / "merged")
    assert told["tokenizer"] == "base"
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["vocab_size"] == VOCABULARY


def with_more_tokens(base: Path, adapter: Path) -> None:
    """The tokenizer that a trainer saves beside the adapter."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.add_special_tokens([f"<|extra{number}|>" for number in range(ADDED)])
    tokenizer.save(str(adapter / "tokenizer.json"))
    shutil.copyfile(base / "tokenizer_config.json", adapter / "tokenizer_config.json")


@pytest.mark.parametrize(
    "lora",
    [
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {},
        {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
    ],
    ids=["whole", "resized alone", "LoRA"],
)
def test_more_tokens(lora: dict[str, Any], base: Path, tmp_path: Path) -> None:
    adapted = train(tmp_path / "outputs", base, added=ADDED, **lora)
    with_more_tokens(base, tmp_path / "outputs")
    told = merge(base, tmp_path / "outputs", tmp_path / "merged")
    assert_same(logits(adapted, VOCABULARY + ADDED), tmp_path / "merged", VOCABULARY + ADDED)
    assert told["tokenizer"] == "adapter"
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["vocab_size"] == VOCABULARY + ADDED
    tokenizer = Tokenizer.from_file(str(tmp_path / "merged" / "tokenizer.json"))
    assert tokenizer.encode("<|extra3|>").ids == [VOCABULARY + 3]
    assert not (tmp_path / "merged" / "optimizer.pt").exists()


def test_only_one_of_two_matrices_has_more_rows(tiny_model: Path, tmp_path: Path) -> None:
    train(tmp_path / "outputs", tiny_model, added=ADDED, modules_to_save=["lm_head", "embed_tokens"])
    path = tmp_path / "outputs" / "adapter_model.safetensors"
    tensors = {k: v for k, v in tensor_files.load_file(path).items() if "modules_to_save" not in k}
    tensors["base_model.model.lm_head.weight"] = tensors["base_model.model.lm_head.weight"][:VOCABULARY].clone()
    tensor_files.save_file(tensors, path, {"format": "pt"})
    with pytest.raises(
        AdapterRejected, match=f"embedding has {VOCABULARY + ADDED} rows and the output head {VOCABULARY}"
    ):
        merge(tiny_model, tmp_path / "outputs", tmp_path / "merged")


def test_an_untied_head_of_sharded_weights_is_in_the_index(tiny_model: Path, tmp_path: Path) -> None:
    base = tied(tiny_model, tmp_path / "base")
    tensors = tensor_files.load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors" for name in tensors}
    for shard in set(shards.values()):
        tensor_files.save_file(
            {name: tensors[name] for name in tensors if shards[name] == shard}, base / shard, {"format": "pt"}
        )
    (base / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    adapted = train(tmp_path / "outputs", base, modules_to_save=["lm_head"])
    told = merge(base, tmp_path / "outputs", tmp_path / "merged")
    assert_same(logits(adapted), tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"] is False
    assert told == yaml.safe_load((tmp_path / "merged" / "merged.yaml").read_text())


@pytest.mark.parametrize("name", ["lm_head.weight", "model.norm.weight"])
def test_whole_matrices_of_other_shapes_are_refused(name: str, tiny_model: Path, tmp_path: Path) -> None:
    train(tmp_path / "outputs", tiny_model, modules_to_save=["lm_head", "norm"])
    path = tmp_path / "outputs" / "adapter_model.safetensors"
    tensors = tensor_files.load_file(path)
    tensors[f"base_model.model.{name}"] = torch.ones(7, 3)
    tensor_files.save_file(tensors, path, {"format": "pt"})
    with pytest.raises(AdapterRejected, match=rf"tensor base_model.model.{name}: has shape \[7, 3\], expected \["):
        merge(tiny_model, tmp_path / "outputs", tmp_path / "merged")


def test_another_base(tiny_model: Path, tmp_path: Path) -> None:
    train(tmp_path / "outputs", tiny_model, modules_to_save=["lm_head"])
    other = make_model(tmp_path / "other", seed=9)
    tensors = tensor_files.load_file(other / "model.safetensors")
    tensors["lm_head.weight"] = tensors["lm_head.weight"][:, :32].clone()
    tensor_files.save_file(tensors, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(AdapterRejected, match=r"lm_head.weight: has shape \[320, 64\], expected \[320, 32\]"):
        merge(other, tmp_path / "outputs", tmp_path / "merged")
