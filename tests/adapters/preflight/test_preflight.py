"""Preflight: every misfit is found, and the message says which field or tensor it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.engine.activated import activated_files
from tests.support.engine.tiny_model import adapter_files, make_model, module_shapes
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.preflight import check
from trivet.errors import AdapterRejected
from trivet.testing.adapters import AdapterFiles, digest, write_adapter
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")
MAX_RANK = 16
A0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
B0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> BaseModel:
    return BaseModel(tiny_model)


def with_config(**changes: Any) -> AdapterFiles:
    files = adapter_files(1)
    return replace(files, config=files.config | changes)


def with_manifest(**changes: Any) -> AdapterFiles:
    files = adapter_files(1)
    return replace(files, manifest=files.manifest | changes)


def with_tensors(change: Callable[[dict[str, Any]], object]) -> AdapterFiles:
    files = adapter_files(1)
    tensors = dict(files.tensors)
    change(tensors)
    return replace(files, tensors=tensors)


def spoiled(name: str, value: float) -> AdapterFiles:
    def change(tensors: dict[str, Any]) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name].flat[5] = value

    return with_tensors(change)


def renamed(old: str, new: str) -> AdapterFiles:
    return with_tensors(lambda tensors: tensors.update({new: tensors.pop(old)}))


CONFIGS = {
    "dora": (with_config(use_dora=True), "adapter_config.json: use_dora is True, expected False"),
    "alora": (with_config(alora_invocation_tokens=[5]), r"expected `kind: alora` and `invocation: \[5\]`"),
    "another invocation": (
        replace(activated_files(1, [5]), config=activated_files(1, [6]).config),
        r"adapter.yaml: invocation is \[5\], but alora_invocation_tokens in adapter_config.json is \[6\]",
    ),
    "no invocation": (with_manifest(kind="alora"), "invocation is None, expected token ids"),
    "invocation of a plain one": (with_manifest(invocation=[5]), "expected it of kind alora alone"),
    "unknown kind": (with_manifest(kind="dora"), "kind is 'dora', expected lora or alora"),
    "empty invocation": (with_config(alora_invocation_tokens=[]), "expected 1 to 64 token ids"),
    "beyond the vocabulary": (activated_files(1, [5, 320]), "names token 320, the base model has 320"),
    "bias": (with_config(bias="lora_only"), "bias is 'lora_only', expected 'none'"),
    "lora bias": (with_config(lora_bias=True), "lora_bias is True, expected False"),
    "saved modules": (
        with_config(modules_to_save=["lm_head"]),
        r"modules_to_save is \['lm_head'\]: .* `trivet adapter merge`",
    ),
    "not a LoRA": (with_config(peft_type="IA3"), "peft_type is 'IA3', expected 'LORA'"),
    "a classifier": (with_config(task_type="SEQ_CLS"), "task_type is 'SEQ_CLS', expected 'CAUSAL_LM'"),
    "replicated layers": (with_config(layer_replication=[[0, 1]]), "layer_replication is"),
    "other base weights": (with_config(init_lora_weights="pissa"), "init_lora_weights is 'pissa'"),
    "not known": (with_config(new_trick=3), "new_trick is 3, expected it to be absent"),
    "rank above the engine's": (with_config(r=32), r"r is 32, expected 1 to 16 \(the engine's max_lora_rank\)"),
    "rank no number": (with_config(r="8"), "r is '8', expected 1 to 16"),
    "alpha no number": (with_config(lora_alpha="x"), "lora_alpha is 'x', expected a number"),
    "pattern rank": (with_config(rank_pattern={"q_proj": 99}), r"rank_pattern\['q_proj'\] is 99, expected 1 to 16"),
    "pattern an expression": (with_config(alpha_pattern={"(a+)+": 1}), r"alpha_pattern has the key '\(a\+\)\+'"),
    "no targets": (with_config(target_modules=[]), r"target_modules is \[\], expected a list"),
    "unknown target": (with_config(target_modules=["q_proj", "w9"]), "target_modules does not name model.layers.0"),
}
MANIFESTS = {
    "other rank": (with_manifest(rank=4), "adapter.yaml: rank is 4, expected 8 as in adapter_config.json"),
    "no rank": (with_manifest(rank=None), "adapter.yaml: rank is None, expected a positive integer"),
    "digest": (with_manifest(digest="0" * 64), "adapter.yaml: digest is 0{64}, but the files have [0-9a-f]{64}"),
    "digest short": (with_manifest(digest="abc"), "adapter.yaml: digest is 'abc', expected 64 hex digits"),
    "base": (with_manifest(base={"name": "x", "fingerprint": "1" * 64}), "base.fingerprint is 1{64}, but the base"),
    "base no mapping": (with_manifest(base="tiny"), "adapter.yaml: base is 'tiny', expected a mapping"),
    "unknown field": (with_manifest(rnak=8), "adapter.yaml: unknown field 'rnak'"),
    "cost no mapping": (with_manifest(cost=3), "adapter.yaml: cost is 3, expected a mapping"),
    "other name": (with_manifest(name="other"), "adapter.yaml: name is 'other', expected 'tone'"),
    "version a number": (with_manifest(version=1.0), "adapter.yaml: version is 1.0, expected '1'"),
}
FLOATS = np.float32
TENSORS = {
    "too few columns": (
        with_tensors(lambda tensors: tensors.update({A0: np.zeros((8, 32), FLOATS)})),
        rf"tensor {A0}: has shape \[8, 32\], expected \[8, 64\] \(rank 8 by adapter_config.json, base weight",
    ),
    "too few rows": (
        with_tensors(lambda tensors: tensors.update({B0: np.zeros((32, 8), FLOATS)})),
        rf"tensor {B0}: has shape \[32, 8\], expected \[64, 8\]",
    ),
    "rank unlike the config's": (
        with_tensors(lambda tensors: tensors.update({A0: np.zeros((4, 64), FLOATS), B0: np.zeros((64, 4), FLOATS)})),
        rf"tensor {A0}: has shape \[4, 64\], expected \[8, 64\]",
    ),
    "layer beyond": (renamed(A0, A0.replace(".0.", ".7.")), "layers.7.*: layer 7 is beyond the base model's 2 layers"),
    "no lora_B": (with_tensors(lambda tensors: tensors.pop(B0)), f"tensor {B0}: is missing, its other half is there"),
    "no pair": (
        with_tensors(lambda tensors: (tensors.pop(A0), tensors.pop(B0))),
        f"tensor {A0}: is missing, but target_modules names 'q_proj'",
    ),
    "NaN": (spoiled(A0, float("nan")), f"tensor {A0}: element 5 is NaN or infinite"),
    "infinite": (spoiled(B0, float("-inf")), f"tensor {B0}: element 5 is NaN or infinite"),
    "unknown module": (renamed(A0, A0.replace("q_proj", "w_proj")), "the base model has no module model.layers.0"),
    "the head": (renamed(A0, "base_model.model.lm_head.lora_A.weight"), "target_modules does not name lm_head"),
    "an embedding": (
        renamed(A0, "base_model.model.model.embed_tokens.lora_embedding_A"),
        "embed_tokens.lora_embedding_A: target_modules does not name model.embed_tokens",
    ),
    "wrong name": (renamed(A0, "q_proj.lora_A.weight"), "tensor q_proj.lora_A.weight: expected base_model.model"),
    "magnitudes": (
        renamed(A0, A0.replace("lora_A.weight", "lora_magnitude_vector")),
        "magnitude_vector: expected",
    ),
    "dtype": (
        with_tensors(lambda tensors: tensors.update({A0: np.zeros((8, 64), np.float64)})),
        f"tensor {A0}: has dtype F64, expected F32, F16, BF16",
    ),
    "not targeted": (with_config(target_modules=["k_proj"]), "target_modules does not name model.layers.0"),
    "empty": (with_tensors(lambda tensors: tensors.clear()), "adapter_model.safetensors: has no tensor"),
}
CASES = {**CONFIGS, **MANIFESTS, **TENSORS}


@pytest.mark.parametrize(("files", "message"), CASES.values(), ids=CASES.keys())
def test_refused(files: AdapterFiles, message: str, base: BaseModel, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", files)
    with pytest.raises(AdapterRejected, match=message):
        check(folder, REF, base, MAX_RANK)


def test_sound_with_everything_stated(base: BaseModel, tmp_path: Path) -> None:
    stated = {"name": "tone", "version": "1", "base": {"name": "tiny", "fingerprint": base.fingerprint}}
    folder = write_adapter(tmp_path / "adapter", with_manifest(**stated, recipe={"steps": 3}, created="2026-01-01"))
    checked = check(folder, REF, base, MAX_RANK)
    assert (checked.rank, checked.digest) == (8, digest(folder))


def test_patterns_and_rslora_pass(base: BaseModel, tmp_path: Path) -> None:
    files = adapter_files(1)
    for name in list(files.tensors):
        if "layers.1.mlp.up_proj" in name:
            shape = files.tensors[name].shape
            small = (4, shape[1]) if "lora_A" in name else (shape[0], 4)
            files.tensors[name] = np.ones(small, FLOATS)
    config = files.config | {"use_rslora": True, "rank_pattern": {"layers.1.mlp.up_proj": 4}}
    config["alpha_pattern"] = {"up_proj": 3.5}
    folder = write_adapter(tmp_path / "adapter", replace(files, config=config))
    assert check(folder, REF, base, MAX_RANK).rank == 8


def test_half_precision_passes_and_its_infinities_do_not(base: BaseModel, tmp_path: Path) -> None:
    files = adapter_files(1)
    half = {name: tensor.astype(np.float16) for name, tensor in files.tensors.items()}
    check(write_adapter(tmp_path / "good", replace(files, tensors=half)), REF, base, MAX_RANK)  # type: ignore[arg-type]
    half[A0][0, 0] = np.inf
    folder = write_adapter(tmp_path / "bad", replace(files, tensors=half))  # type: ignore[arg-type]
    with pytest.raises(AdapterRejected, match=f"tensor {A0}: element 0 is NaN or infinite"):
        check(folder, REF, base, MAX_RANK)


def test_only_some_layers(base: BaseModel, tmp_path: Path) -> None:
    shapes = {module: shape for module, shape in module_shapes().items() if "layers.1" in module}
    files = adapter_files(1, modules=shapes)
    folder = write_adapter(tmp_path / "adapter", replace(files, config=files.config | {"layers_to_transform": [1]}))
    assert check(folder, REF, base, MAX_RANK).rank == 8


HEADERS = {
    "cut short": (b"\x01\x00", "the file has 2 bytes, expected at least 8"),
    "endless header": (b"\xff" * 8 + b"{}", "the header claims 18446744073709551615 bytes, expected at most 2"),
    "no JSON": (b"\x03" + bytes(7) + b"abc", "the header is not sound JSON"),
    "a list": (b"\x02" + bytes(7) + b"[]", "the header is a list, expected an object"),
    "deep": ((100_000).to_bytes(8, "little") + b"[" * 100_000, "the header is not sound JSON"),
}


@pytest.mark.parametrize(("content", "message"), HEADERS.values(), ids=HEADERS.keys())
def test_broken_header(content: bytes, message: str, base: BaseModel, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", adapter_files(1))
    (folder / "adapter_model.safetensors").write_bytes(content)
    _sign(folder)
    with pytest.raises(AdapterRejected, match=f"adapter_model.safetensors: {message}"):
        check(folder, REF, base, MAX_RANK)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [8, 64], "data_offsets": [0, 4]}, r"has 4 bytes, expected 2048 for F32 \[8, 64\]"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "begins at byte .* .a gap or an overlap"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, r"the file has \d+ bytes, expected \d+ by its header"),
        ({"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}, "dtype 'F31' is not known"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "must be short lists of natural numbers"),
        ({"dtype": "F32", "shape": [1]}, "expected dtype, shape and data_offsets"),
    ],
)
def test_broken_entry(entry: dict[str, Any], message: str, base: BaseModel, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", adapter_files(1))
    header = json.dumps({A0: entry}).encode()
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(99))
    _sign(folder)
    with pytest.raises(AdapterRejected, match=message):
        check(folder, REF, base, MAX_RANK)


def test_broken_texts(base: BaseModel, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", adapter_files(1))
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterRejected, match=r"adapter_config.json: is not sound JSON"):
        check(folder, REF, base, MAX_RANK)
    (folder / "adapter.yaml").write_text("a: [")
    with pytest.raises(AdapterRejected, match=r"adapter.yaml: is not sound YAML"):
        check(folder, REF, base, MAX_RANK)


def test_fingerprint_tells_models_apart(base: BaseModel, tmp_path: Path) -> None:
    assert BaseModel(make_model(tmp_path / "same")).fingerprint == base.fingerprint
    assert BaseModel(make_model(tmp_path / "other", seed=8)).fingerprint != base.fingerprint


def test_sharded_base(tiny_model: Path, base: BaseModel, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    (tmp_path / "tokenizer.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    (tmp_path / "shard-1.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes())
    index = {"weight_map": {"model.norm.weight": "shard-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert BaseModel(tmp_path).modules == base.modules


def _sign(folder: Path) -> None:
    (folder / "adapter.yaml").write_text(yaml.safe_dump({"rank": 8, "digest": digest(folder)}))
