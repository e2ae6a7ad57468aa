"""Import: what trainers leave becomes a version that a server takes, or is refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from tests.support.adapters.trained_folders import NEW_FIELDS, TRAINED, Trained
from tests.support.engine.tiny_model import adapter_files, make_model
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.app.adapters.importing import Imported, import_adapter
from trivet.cli.main import main
from trivet.config import Config
from trivet.errors import AdapterRejected, FailedPrecondition
from trivet.testing.adapters import digest
from trivet.types.variant import VersionRef

NAMES = {"adapter.yaml", "adapter_config.json", "adapter_model.safetensors"}


def no_configuration() -> Config:
    raise AssertionError("no configuration is needed")


def take(folder: Path, base: Path, root: Path, name: str = "tone") -> Imported:
    return import_adapter(no_configuration, folder, name, base=str(base), to=root)


@pytest.mark.process
@pytest.mark.parametrize("trained", TRAINED.values(), ids=TRAINED.keys())
def test_what_trainers_leave_becomes_a_version(trained: Trained, tiny_model: Path, tmp_path: Path) -> None:
    folder = trained.write(tmp_path / "outputs", tiny_model)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = take(folder, tiny_model, tmp_path / "root")
    assert (str(found.ref), found.folder, found.rank) == ("tone@1", tmp_path / "root" / "tone" / "1", 8)
    assert {path.name for path in found.folder.iterdir()} == NAMES
    assert found.digest == digest(found.folder)
    manifest = yaml.safe_load((found.folder / "adapter.yaml").read_text())
    assert manifest["base"]["fingerprint"] == BaseModel(tiny_model).fingerprint
    assert manifest["source"] == {"folder": "outputs"}
    expected = adapter_files(21).tensors
    tensors = load_file(found.folder / "adapter_model.safetensors")
    assert tensors.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(tensors[name], values.astype(tensors[name].dtype))
    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 8)
    assert AdapterStaging(settings).stage(VersionRef("tone", "1")).digest == found.digest
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_bytes_that_fit_stay_as_they_are(tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "outputs", tiny_model)
    found = take(folder, tiny_model, tmp_path / "root")
    assert not found.changed
    assert found.digest == digest(folder)


def test_versions_go_up_and_are_never_overwritten(tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "outputs", tiny_model)
    root = tmp_path / "root"
    names = [
        str(take(folder, tiny_model, root, name).ref) for name in ("tone", "tone", "tone@9", "tone@2024-06", "tone")
    ]
    assert names == ["tone@1", "tone@2", "tone@9", "tone@2024-06", "tone@10"]
    with pytest.raises(FailedPrecondition, match=r"tone@9 exists \(.*\), and a version is never overwritten"):
        take(folder, tiny_model, root, "tone@9")
    assert sorted(path.name for path in (root / "tone").iterdir()) == ["1", "10", "2", "2024-06", "9"]


def refused(folder: Path, base: Path, tmp_path: Path, match: str, name: str = "tone") -> None:
    with pytest.raises(AdapterRejected, match=match):
        take(folder, base, tmp_path / "root", name)
    assert not list((tmp_path / "root").rglob("*"))


def test_another_base_is_told_by_its_name(tiny_model: Path, tmp_path: Path) -> None:
    files = adapter_files(1, 8, {f"model.layers.{layer}.self_attn.q_proj": (96, 96) for layer in range(2)})
    trained = Trained(NEW_FIELDS | {"base_model_name_or_path": "meta/big"}, ())
    folder = trained.write(tmp_path / "outputs", tiny_model, files)
    refused(
        folder,
        tiny_model,
        tmp_path,
        r"has shape \[8, 96\], expected \[8, 64\] .* It was trained on 'meta/big' by its own words "
        r"\(base_model_name_or_path\), and held against .*tiny",
    )


def test_a_changed_matrix_of_the_base_is_for_merging(tiny_model: Path, tmp_path: Path) -> None:
    folder = TRAINED["unsloth, embeddings saved with it"].write(tmp_path / "outputs", tiny_model)
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors["base_model.model.lm_head.weight"][7] += 1
    save_file(tensors, folder / "adapter_model.safetensors")
    refused(folder, tiny_model, tmp_path, r"modules_to_save is \['embed_tokens', 'lm_head'\]: .*`trivet adapter merge`")


def test_a_name_that_two_tensors_mean(tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "outputs", tiny_model)
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(iter(tensors))
    tensors[f"base_model.model.{name}"] = tensors[name] + 1
    save_file(tensors, folder / "adapter_model.safetensors")
    refused(folder, tiny_model, tmp_path, f"tensor .*: is {name}, which is there twice")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"new_trick": 3}, "new_trick is 3, expected it to be absent"),
        ({"peft_type": "ADALORA"}, "peft_type is 'ADALORA', expected 'LORA'"),
        ({"use_dora": True}, "use_dora is True, expected False"),
        ({"trainable_token_indices": [5]}, r"trainable_token_indices is \[5\]"),
        ({"r": 2000}, "r is 2000, expected 1 to"),
    ],
)
def test_fields_that_change_the_answers_are_refused(
    fields: dict[str, Any], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Trained(NEW_FIELDS | fields, ()).write(tmp_path / "outputs", tiny_model)
    refused(folder, tiny_model, tmp_path, message)


def test_a_folder_of_checkpoints(tiny_model: Path, tmp_path: Path) -> None:
    for number in (500, 1000, 90):
        Trained(NEW_FIELDS, ()).write(tmp_path / "outputs" / f"checkpoint-{number}", tiny_model)
    refused(tmp_path / "outputs", tiny_model, tmp_path, r"has no adapter_config.json, .* last checkpoint is .*-1000")


def test_a_pickle_is_not_read(tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "outputs", tiny_model)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    refused(folder, tiny_model, tmp_path, r"there is adapter_model.bin: it is a pickle, .*safe_serialization=True")


@pytest.mark.parametrize("name", ["Tone", "../tone", "", "tone@", "tone@../x", "a@b@c", "x" * 80])
def test_names_that_are_none(name: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "outputs", tiny_model)
    refused(folder, tiny_model, tmp_path, "is not a (name|version): expected", name)


def test_links_of_a_hub_cache_are_followed(tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "blobs", tiny_model)
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        (snapshot / path.name).symlink_to(path)
    found = take(snapshot, tiny_model, tmp_path / "root")
    assert not any(path.is_symlink() for path in found.folder.iterdir())


CONFIGURATION = """
version: 1
adapters: [here]
backends:
  local: {{kind: embedded, model: {model}}}
routes:
  plain:
    variants:
      only: {{weight: 1, backend: local, prompt: p@1}}
"""


def test_the_command_takes_base_and_place_from_the_configuration(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "trivet.yaml").write_text(CONFIGURATION.format(model=tiny_model))
    folder = TRAINED["trl checkpoint"].write(tmp_path / "outputs" / "checkpoint-500", tiny_model)
    command = ["adapter", "import", str(folder), "--name", "tone", "--config", str(tmp_path / "trivet.yaml")]
    told = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert told["name"] == "tone@1"
    assert Path(told["folder"]) == tmp_path / "here" / "tone" / "1"
    again = CliRunner().invoke(main, [*command, "--base", "nobody"])
    assert again.exit_code == 1
    assert "'nobody' is neither a model's folder (no config.json) nor a backend; known: local" in again.output
    described = CliRunner().invoke(main, [*command[:2], told["folder"], *command[3:]])
    assert "has an adapter.yaml already" in described.output


def test_another_fingerprint_than_the_served_bases(tiny_model: Path, tmp_path: Path) -> None:
    folder = Trained(NEW_FIELDS, ()).write(tmp_path / "outputs", tiny_model)
    take(folder, make_model(tmp_path / "other", seed=9), tmp_path / "root")
    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 8)
    with pytest.raises(AdapterRejected, match=r"base\.fingerprint is"):
        AdapterStaging(settings).stage(VersionRef("tone", "1"))
