"""Adapters from a model hub: pinned to a commit, fetched once, and offline from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.adapters.trained_folders import TRAINED
from tests.support.engine.tiny_model import adapter_files, make_model
from tests.support.sources.hub_server import Hub, hub_server
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.sources import download
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, AdapterSourceUnavailable
from trivet.model_hub import repository
from trivet.testing.adapters import digest
from trivet.types.adapter import HubAdapter, StagedAdapter
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")
REPOSITORY = "acme/tone"
BLOCK = 16 << 10


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(download, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(repository, "BLOCK_BYTES", BLOCK)
    with hub_server() as hub:
        yield hub


@pytest.fixture
def trained(hub: Hub, tiny_model: Path, tmp_path: Path) -> Path:
    """An adapter as it lies on a hub, on its default branch; its folder."""
    folder = TRAINED["trl checkpoint"].write(tmp_path / "trained", tiny_model)
    hub.commit(REPOSITORY, 1, folder, "main", "v1")
    return folder


def settings(
    hub: Hub, base: Path, tmp_path: Path, revision: str | None = None, max_bytes: int = 1 << 30
) -> AdapterSettings:
    place = HubAdapter(REF, REPOSITORY, revision, hub.url)
    return AdapterSettings((tmp_path / "local", place), tmp_path / "staged", base, 8, max_bytes=max_bytes)


def stage(hub: Hub, base: Path, tmp_path: Path, revision: str | None = None) -> StagedAdapter:
    return AdapterStaging(settings(hub, base, tmp_path, revision)).stage(REF)


def source(staged: StagedAdapter) -> object:
    return yaml.safe_load((staged.path / "adapter.yaml").read_text())["source"]


def test_the_files_of_one_commit_become_a_version(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    staged = stage(hub, tiny_model, tmp_path)
    assert staged.digest == digest(trained)
    assert source(staged) == {"hub": f"hub:{REPOSITORY}", "commit": f"{1:040x}"}
    manifest = yaml.safe_load((staged.path / "adapter.yaml").read_text())
    assert manifest["base"]["fingerprint"] == BaseModel(tiny_model).fingerprint
    files = {path.rpartition("/")[2] for _, path in hub.requests if "/resolve/" in path}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    assert all(f"/resolve/{1:040x}/" in path for _, path in hub.requests if "/resolve/" in path)


def test_offline_from_then_on_whatever_the_branch_is_by_now(
    hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    first = stage(hub, tiny_model, tmp_path)
    hub.commit(REPOSITORY, 2, TRAINED["trl checkpoint"].write(tmp_path / "b", tiny_model, adapter_files(9)), "main")
    hub.down = True
    asked = len(hub.requests)
    staging = AdapterStaging(settings(hub, tiny_model, tmp_path))
    assert staging.stage(REF) == first
    assert staging.known() == [REF]
    assert staging.source_digest(REF) is None
    assert len(hub.requests) <= asked + 1  # the digest alone asked


def test_another_revision_in_the_configuration_is_fetched(
    hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    first = stage(hub, tiny_model, tmp_path, "v1")
    other = TRAINED["trl checkpoint"].write(tmp_path / "b", tiny_model, adapter_files(9))
    commit = hub.commit(REPOSITORY, 2, other)
    second = stage(hub, tiny_model, tmp_path, commit)
    assert (first.digest, second.digest) == (digest(trained), digest(other))
    assert source(second) == {"hub": f"hub:{REPOSITORY}@{commit}", "commit": commit}


def test_another_base_gets_a_manifest_of_its_own(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    first = stage(hub, tiny_model, tmp_path)
    other = make_model(tmp_path / "other", seed=9)
    for _ in range(2):
        assert stage(hub, other, tmp_path) == first
        manifest = yaml.safe_load((first.path / "adapter.yaml").read_text())
        assert manifest["base"]["fingerprint"] == BaseModel(other).fingerprint
        hub.down = True  # the second time it needs no hub


def test_a_damaged_copy_is_fetched_again(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    first = stage(hub, tiny_model, tmp_path)
    weights = first.path / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"x")
    assert stage(hub, tiny_model, tmp_path).digest == digest(trained)


def test_a_cut_connection_goes_on_where_it_was(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    hub.cut = BLOCK - 1000
    assert stage(hub, tiny_model, tmp_path).digest == digest(trained)
    assert not hub.cut
    assert hub.starts.count(0) <= 3  # of each of the two files, and of the block that was cut
    assert len(set(hub.starts)) > 2


def test_what_is_no_adapter(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    staging = AdapterStaging(settings(hub, tiny_model, tmp_path))
    (trained / "adapter_model.safetensors").rename(trained / "adapter_model.bin")
    with pytest.raises(AdapterRejected, match=r"tone@1: adapter_model.safetensors is missing, .*pickle"):
        staging.stage(REF)
    (trained / "adapter_model.bin").rename(trained / "model.safetensors")
    with pytest.raises(AdapterRejected, match=r"there is model.safetensors: that is a whole model"):
        staging.stage(REF)
    assert not any("/resolve/" in path for _, path in hub.requests)


def test_too_large_is_not_fetched(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    small = settings(hub, tiny_model, tmp_path, max_bytes=1000)
    with pytest.raises(AdapterRejected, match=r"adapter_model.safetensors has \d+ bytes, expected 1 to 1000"):
        AdapterStaging(small).stage(REF)
    assert not any("/resolve/" in path for _, path in hub.requests)


@pytest.mark.parametrize("revision", ["v9", "0" * 39 + "7"])
def test_no_such_revision(revision: str, hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterSourceUnavailable, match="hub:acme/tone has no such repository, revision or file"):
        stage(hub, tiny_model, tmp_path, revision)


def test_no_such_repository(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterSourceUnavailable, match="hub:acme/tone has no such repository"):
        stage(hub, tiny_model, tmp_path)


def test_the_hub_is_down(hub: Hub, trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    hub.down = True
    with pytest.raises(AdapterSourceUnavailable, match="adapter tone@1: hub:acme/tone cannot be read now"):
        stage(hub, tiny_model, tmp_path)
    assert list((tmp_path / "staged").glob("tone@1#*")) == []
