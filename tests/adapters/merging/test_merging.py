"""Merging: the merged model's logits are those of base and adapter in PEFT, and its folder is whole or not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors import safe_open

from tests.support.engine.later import Later
from tests.support.engine.tiny_model import make_model
from trivet.adapters.merging.merged_model import MARK, MergedModel
from trivet.adapters.merging.merged_weights import MAX_RANK
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.export_folder import ExportFolder
from trivet.adapters.staging.staging import AdapterStaging
from trivet.adapters.tensors.safetensors_header import read_header
from trivet.errors import AdapterRejected, FailedPrecondition
from trivet.testing.adapters import digest
from trivet.types.variant import VersionRef

torch, peft, transformers = Later("torch"), Later("peft"), Later("transformers")
tensor_files = Later("safetensors.torch")

REF = VersionRef("tone", "1")
TOLERANCE = 1e-4  # of the largest logit: float32 sums in another order
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"r": 8, "lora_alpha": 24},
    "rslora": {"r": 4, "lora_alpha": 6, "use_rslora": True},
    "patterns": {
        "r": 8,
        "lora_alpha": 16,
        "rank_pattern": {"layers.1.mlp.up_proj": 2, "o_proj": 5},
        "alpha_pattern": {"q_proj": 3, "layers.0.mlp.down_proj": 40},
    },
    "patterns with rslora": {
        "r": 8,
        "lora_alpha": 16,
        "rank_pattern": {"o_proj": 5},
        "alpha_pattern": {"o_proj": 3},
        "use_rslora": True,
    },
    "dora": {"r": 8, "lora_alpha": 16, "use_dora": True},
    "dora with patterns": {"r": 4, "lora_alpha": 8, "use_dora": True, "rank_pattern": {"q_proj": 6}},
}


def make_adapter(root: Path, base: Path, **lora: Any) -> Path:
    """An adapter as PEFT writes it, with random weights, in `root/tone/1`."""
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": ALL, **lora})
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_magnitude" in name:
                weight.mul_(0.5 + torch.rand_like(weight))
            elif "lora_" in name:
                weight.copy_(torch.randn_like(weight) / weight.shape[-1] ** 0.5)
    folder = root / "tone" / "1"
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    manifest = {"rank": config.r, "digest": digest(folder)}
    (folder / "adapter.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def merge(base: Path, adapter: Path, target: Path) -> dict[str, Any]:
    """Stage and merge, as the command does."""
    staging = target.parent / f"{target.name}-staging"
    settings = AdapterSettings((adapter.parent.parent,), staging, base, MAX_RANK, to_merge=True)
    target.mkdir()
    return dict(MergedModel(BaseModel(base), AdapterStaging(settings).stage(REF)).write(target))


def logits(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        return model(input_ids=torch.randint(3, 300, (3, 40))).logits


def assert_same_logits(base: Path, adapter: Path, merged: Path) -> None:
    bare = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = logits(bare)
    expected = logits(peft.PeftModel.from_pretrained(bare, adapter))
    found = logits(transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32))
    scale = expected.abs().max()
    assert (expected - before).abs().max() > scale / 10, "the adapter changes too little to tell"
    assert (found - expected).abs().max() < TOLERANCE * scale


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_base_and_adapter(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapters", tiny_model, **KINDS[kind])
    told = merge(tiny_model, adapter, tmp_path / "merged")
    assert told["method"] == ("dora" if "dora" in kind else "rslora" if "rslora" in kind else "lora")
    assert_same_logits(tiny_model, adapter, tmp_path / "merged")


@pytest.mark.parametrize("dora", [False, True])
def test_weights_that_are_stored_transposed(dora: bool, tiny_model: Path, tmp_path: Path) -> None:
    """GPT-2 keeps (in, out), and its attention's output is square, so that no shape tells."""
    base = tmp_path / "gpt2"
    torch.manual_seed(2)
    config = transformers.GPT2Config(
        vocab_size=320, n_embd=64, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(base)
    shutil.copyfile(tiny_model / "tokenizer.json", base / "tokenizer.json")
    targets = ["c_attn", "attn.c_proj", "c_fc"]
    adapter = make_adapter(
        tmp_path / "adapters", base, r=4, lora_alpha=8, target_modules=targets, fan_in_fan_out=True, use_dora=dora
    )
    merge(base, adapter, tmp_path / "merged")
    assert_same_logits(base, adapter, tmp_path / "merged")


def sharded(base: Path, folder: Path, dtype: Any) -> Path:
    """The tiny model in two shards of another dtype."""
    shutil.copytree(base, folder)
    tensors = {name: tensor.to(dtype) for name, tensor in tensor_files.load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors" for name in tensors}
    for shard in set(shards.values()):
        tensor_files.save_file(
            {name: tensors[name] for name in tensors if shards[name] == shard}, folder / shard, {"format": "pt"}
        )
    index = {"metadata": {}, "weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("named", ["bfloat16", "float16"])
def test_dtype_and_shards_are_the_bases(named: str, tiny_model: Path, tmp_path: Path) -> None:
    dtype = getattr(torch, named)
    base = sharded(tiny_model, tmp_path / "base", dtype)
    adapter = make_adapter(tmp_path / "adapters", tiny_model, r=8, lora_alpha=8, target_modules=["up_proj"])
    merge(base, adapter, tmp_path / "merged")
    halves = tensor_files.load_file(adapter / "adapter_model.safetensors")
    for shard in sorted(base.glob("*.safetensors")):
        copy = tmp_path / "merged" / shard.name
        assert read_header(copy) == read_header(shard)
        with safe_open(shard, "pt") as old, safe_open(copy, "pt") as new:
            for name in read_header(shard):
                expected = old.get_tensor(name)
                if "up_proj" in name:
                    stem = f"base_model.model.{name.removesuffix('.weight')}"
                    delta = halves[f"{stem}.lora_B.weight"] @ halves[f"{stem}.lora_A.weight"]
                    expected = (expected.float() + delta).to(dtype)
                    # The sums' order may decide a tie.
                    assert (new.get_tensor(name) != expected).float().mean() < 0.001
                    assert torch.allclose(new.get_tensor(name).float(), expected.float(), rtol=0.01)
                else:
                    assert torch.equal(new.get_tensor(name), expected)


def test_rounding_to_bfloat16_is_torchs(tiny_model: Path) -> None:
    from trivet.adapters.merging.merged_weights import _narrow

    random = np.random.default_rng(1)
    values = random.integers(0, 1 << 32, 100_000, np.uint32).view(np.float32)
    values = values[np.isfinite(values) & (np.abs(values) < 3e38)]
    expected = torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.int16).numpy()
    assert np.array_equal(np.frombuffer(_narrow(values, "x", "BF16"), np.int16), expected)


def test_what_is_beside_the_weights(tiny_model: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_model, tmp_path / "base")
    kept = {"chat_template.jinja": "{{ messages }}", "LICENSE": "free", "tokenizer.model": "x", "merges.txt": "a b"}
    left = {"pytorch_model.bin": "pickle", "pytorch_model.bin.index.json": "{}", "run.py": "code", ".hidden.json": "{}"}
    for name, text in (kept | left).items():
        (base / name).write_text(text)
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    adapter = make_adapter(tmp_path / "adapters", tiny_model, r=64)  # above any engine's rank: it needs no slot
    told = merge(base, adapter, tmp_path / "merged")
    names = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()} - set(left)
    found = {str(path.relative_to(tmp_path / "merged")) for path in (tmp_path / "merged").rglob("*") if path.is_file()}
    assert found == names | {MARK}
    for name in names - {"model.safetensors"}:
        assert (tmp_path / "merged" / name).read_bytes() == (base / name).read_bytes()
    assert yaml.safe_load((tmp_path / "merged" / MARK).read_text()) == told
    assert (told["adapter"], told["adapter_digest"]) == ("tone@1", digest(adapter))
    assert told["base_fingerprint"] == BaseModel(base).fingerprint
    assert told["fingerprint"] == BaseModel(tmp_path / "merged").fingerprint != told["base_fingerprint"]


def test_a_value_beyond_the_bases_dtype_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    base = sharded(tiny_model, tmp_path / "base", torch.float16)
    adapter = make_adapter(tmp_path / "adapters", tiny_model, r=8, lora_alpha=8000)
    large = {
        name: values * 1000 for name, values in tensor_files.load_file(adapter / "adapter_model.safetensors").items()
    }
    large |= {name: values / 1000 for name, values in large.items() if "lora_B" in name}
    tensor_files.save_file(large, adapter / "adapter_model.safetensors")
    (adapter / "adapter.yaml").write_text(yaml.safe_dump({"rank": 8, "digest": digest(adapter)}))
    with pytest.raises(AdapterRejected, match=r"base tensor model.layers.*: merged, element \d+ is -?\d.*of F16"):
        merge(base, adapter, tmp_path / "merged")


def test_a_dtype_that_cannot_be_added_to_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_model, tmp_path / "base")
    tensors = tensor_files.load_file(base / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    tensor_files.save_file(tensors, base / "model.safetensors", {"format": "pt"})
    adapter = make_adapter(tmp_path / "adapters", tiny_model, r=8)
    with pytest.raises(AdapterRejected, match=f"base tensor {name}: has dtype F8_E4M3, expected F32, F16, BF16"):
        merge(base, adapter, tmp_path / "merged")


DORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(DORA), f"tensor {DORA}: is missing, its A and B are there"),
        (lambda tensors: tensors.update({DORA: torch.ones(7)}), rf"tensor {DORA}: has shape \[7\], expected \[64\]"),
        (lambda tensors: tensors[DORA].fill_(float("nan")), f"tensor {DORA}: element 0 is NaN or infinite"),
    ],
)
def test_bad_magnitudes_are_refused(
    change: Callable[[dict[str, Any]], object], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapters", tiny_model, r=8, use_dora=True)
    tensors = tensor_files.load_file(adapter / "adapter_model.safetensors")
    change(tensors)
    tensor_files.save_file(tensors, adapter / "adapter_model.safetensors", {"format": "pt"})
    (adapter / "adapter.yaml").write_text(yaml.safe_dump({"rank": 8, "digest": digest(adapter)}))
    with pytest.raises(AdapterRejected, match=message):
        merge(tiny_model, adapter, tmp_path / "merged")


def test_another_base_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapters", tiny_model, r=8)
    stated = {"rank": 8, "digest": digest(adapter), "base": {"fingerprint": BaseModel(tiny_model).fingerprint}}
    (adapter / "adapter.yaml").write_text(yaml.safe_dump(stated))
    with pytest.raises(AdapterRejected, match=r"base\.fingerprint is"):
        merge(make_model(tmp_path / "other", seed=9), adapter, tmp_path / "merged")


def export(target: Path, *, replace: bool = False, text: str = "x") -> None:
    with ExportFolder(target, mark=MARK, replace=replace) as folder:
        (folder.finished / MARK).write_text(text)
        folder.publish()


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    export(tmp_path / "model")
    with pytest.raises(FailedPrecondition, match="model exists: name another folder, or say --replace"):
        export(tmp_path / "model", text="y")
    assert (tmp_path / "model" / MARK).read_text() == "x"
    export(tmp_path / "model", replace=True, text="y")
    assert (tmp_path / "model" / MARK).read_text() == "y"
    (tmp_path / "thesis").mkdir()
    with pytest.raises(FailedPrecondition, match=f"thesis exists and has no {MARK}: it is not replaced"):
        export(tmp_path / "thesis", replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "thesis"]


def test_a_failed_export_leaves_nothing_and_the_old_one(tmp_path: Path) -> None:
    export(tmp_path / "model")
    with pytest.raises(OSError, match="disk"), ExportFolder(tmp_path / "model", mark=MARK, replace=True) as folder:
        (folder.finished / "half").write_text("y")
        raise OSError("the disk is full")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / MARK).read_text() == "x"


def test_a_replacement_that_was_killed_between_its_renames_is_undone(tmp_path: Path) -> None:
    export(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / ".model.replaced")
    with pytest.raises(FailedPrecondition, match="model exists"):
        export(tmp_path / "model", text="y")
    assert (tmp_path / "model" / MARK).read_text() == "x"
    (tmp_path / "model").rename(tmp_path / ".model.replaced")
    export(tmp_path / "model", replace=True, text="y")
    assert (tmp_path / "model" / MARK).read_text() == "y"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


HOLDER = """
import sys, time
from pathlib import Path
from trivet.adapters.staging.export_folder import ExportFolder
with ExportFolder(Path(sys.argv[1]), mark="merged.yaml") as folder:
    (folder.finished / "half").write_text("x")
    locked = folder.scratch / "locked"
    locked.mkdir()
    (locked / "file").write_text("x")
    locked.chmod(0o555)
    print("there", flush=True)
    time.sleep(600)
"""


@pytest.mark.process
def test_one_at_a_time_and_a_killed_one_is_cleaned_up_after(tmp_path: Path) -> None:
    target = tmp_path / "model"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"there\n"
        try:
            with pytest.raises(FailedPrecondition, match=r"another process is writing .*model; wait for it"):
                export(target)
        finally:
            process.kill()
            process.wait()
    assert not target.exists()
    export(target)
    assert [path.name for path in target.iterdir()] == [MARK]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
