"""Fetching a language model: what comes, what never does, and what a broken fetch leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.tiny_model import make_model
from tests.support.sources.hub_server import Hub, hub_server
from trivet.errors import FailedPrecondition
from trivet.model_hub import RECORD, HubBroken, HubReference, HubRepository, base_model, fetch_model

NAME = "acme/tiny"


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.bytes = 0

    def begin(self, stage: str, total: int, done: int) -> None:
        self.stages.append((stage, total, done))

    def advance(self, size: int) -> None:
        self.bytes += size


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as served:
        yield served


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def repository(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(model, folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling_tiny.py").write_text("import os")
    (folder / "consolidated.safetensors").write_bytes(b"the same weights in another layout")
    (folder / "README.md").write_text("# Tiny")
    return folder


def fetch(hub: Hub, target: Path, reference: str = f"hub:{NAME}", **options: Any) -> tuple[Any, Watcher]:
    watcher = Watcher()
    record = fetch_model(
        HubReference.parse(reference), target, watcher, endpoint=hub.url, sleep=lambda _: None, **options
    )
    return record, watcher


def test_what_an_engine_needs_comes_and_nothing_that_can_run(hub: Hub, repository: Path, tmp_path: Path) -> None:
    commit = hub.commit(NAME, 7, repository, "main")
    target = tmp_path / "models" / "tiny"
    record, watcher = fetch(hub, target)
    names = {path.name for path in target.iterdir()} - {RECORD}
    assert names == {path.name for path in repository.iterdir()} - {
        "pytorch_model.bin", "modeling_tiny.py", "consolidated.safetensors", "README.md",
    }  # fmt: skip
    for name in names:
        assert (target / name).read_bytes() == (repository / name).read_bytes()
        assert record["files"][name]["sha256"] == hashlib.sha256((repository / name).read_bytes()).hexdigest()
    assert (record["repository"], record["revision"], record["commit"]) == (NAME, None, commit)
    assert json.loads((target / RECORD).read_text()) == record
    size = (repository / "model.safetensors").stat().st_size
    assert [(total, done) for _, total, done in watcher.stages] == [(size, 0)]
    assert watcher.bytes == size
    asked = {path.split("?")[0].rpartition("/")[2] for _, path in hub.requests}
    assert not asked & {"pytorch_model.bin", "modeling_tiny.py", "consolidated.safetensors"}


def test_code_comes_only_where_it_is_trusted(hub: Hub, repository: Path, tmp_path: Path) -> None:
    hub.commit(NAME, 7, repository, "main")
    fetch(hub, tmp_path / "models" / "tiny+code", with_code=True)
    assert (tmp_path / "models" / "tiny+code" / "modeling_tiny.py").read_text() == "import os"


def test_a_branch_is_resolved_once_and_later_starts_need_no_hub(hub: Hub, repository: Path, tmp_path: Path) -> None:
    first = hub.commit(NAME, 7, repository, "main")
    fetch(hub, tmp_path / "models" / "tiny")
    hub.commit(NAME, 8, repository, "main")
    hub.down = True
    seen = len(hub.requests)
    record, watcher = fetch(hub, tmp_path / "models" / "tiny")
    assert record["commit"] == first
    assert len(hub.requests) == seen
    assert watcher.stages == []


def test_a_broken_fetch_goes_on_where_it_stopped_and_at_its_commit(
    hub: Hub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "READ_BYTES", 50_000)
    commit = hub.commit(NAME, 7, repository, "main")
    target = tmp_path / "models" / "tiny"
    original = HubRepository.open

    class Cut:
        """Gives two blocks of the weights and then nothing any more."""

        def __init__(self, file: Any) -> None:
            self.file, self.blocks = file, 0

        def read(self, size: int) -> bytes:
            self.blocks += 1
            if self.blocks > 2:
                raise HubBroken("the line is dead")
            return bytes(self.file.read(size))

        def close(self) -> None:
            self.file.close()

    opened: list[int] = []

    def once(self: Any, name: str, at: str, offset: int) -> Any:
        file = original(self, name, at, offset)
        if name != "model.safetensors":
            return file
        opened.append(offset)
        if offset:
            raise HubBroken("the line is dead")
        return Cut(file)

    with monkeypatch.context() as patch:
        patch.setattr(HubRepository, "open", once)
        with pytest.raises(FailedPrecondition, match="the line is dead"):
            fetch(hub, target)
    assert not target.exists()
    assert opened == [0, *[100_000] * (base_model.ATTEMPTS - 1)]
    hub.commit(NAME, 8, repository, "main")  # the branch moves meanwhile
    record, watcher = fetch(hub, target)
    size = (repository / "model.safetensors").stat().st_size
    assert [(total, done) for _, total, done in watcher.stages] == [(size, 100_000)]
    assert watcher.bytes == size - 100_000
    assert record["commit"] == commit
    assert (target / "model.safetensors").read_bytes() == (repository / "model.safetensors").read_bytes()


def test_a_cut_connection_is_tried_again(hub: Hub, repository: Path, tmp_path: Path) -> None:
    hub.commit(NAME, 7, repository, "main")
    hub.cut = 10_000
    fetch(hub, tmp_path / "models" / "tiny")
    assert (tmp_path / "models" / "tiny" / "model.safetensors").read_bytes() == (
        repository / "model.safetensors"
    ).read_bytes()


def test_damaged_weights_are_refused(hub: Hub, repository: Path, tmp_path: Path) -> None:
    hub.commit(NAME, 7, repository, "main")
    hub.stated["model.safetensors"] = "0" * 64
    with pytest.raises(FailedPrecondition, match=r"model\.safetensors of hub:acme/tiny arrived damaged"):
        fetch(hub, tmp_path / "models" / "tiny")
    hub.stated.clear()
    fetch(hub, tmp_path / "models" / "tiny")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("model.safetensors", r"has no model\.safetensors: Trivet loads safetensors only"),
        ("config.json", r"has no config\.json, expected a Hugging Face model"),
        ("tokenizer.json", r"has no tokenizer\.json, expected a Hugging Face model"),
    ],
)
def test_what_is_no_model_is_refused(hub: Hub, repository: Path, tmp_path: Path, missing: str, told: str) -> None:
    (repository / missing).unlink()
    hub.commit(NAME, 7, repository, "main")
    with pytest.raises(FailedPrecondition, match=told):
        fetch(hub, tmp_path / "models" / "tiny")


def test_shards_are_those_of_the_index(hub: Hub, repository: Path, tmp_path: Path) -> None:
    (repository / "model.safetensors").rename(repository / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (repository / "model.safetensors.index.json").write_text(json.dumps(index))
    hub.commit(NAME, 7, repository, "main")
    fetch(hub, tmp_path / "models" / "tiny")
    weights = {path.name for path in (tmp_path / "models" / "tiny").glob("*.safetensors")}
    assert weights == {"model-00001-of-00001.safetensors"}


def test_an_index_may_not_name_other_files(hub: Hub, repository: Path, tmp_path: Path) -> None:
    index = {"weight_map": {"a": "../../escape.safetensors", "b": "pytorch_model.bin"}}
    (repository / "model.safetensors.index.json").write_text(json.dumps(index))
    hub.commit(NAME, 7, repository, "main")
    with pytest.raises(FailedPrecondition, match=r"has no \.\./\.\./escape\.safetensors, pytorch_model\.bin"):
        fetch(hub, tmp_path / "models" / "tiny")


def test_a_gated_model_names_the_token(hub: Hub, repository: Path, tmp_path: Path) -> None:
    hub.commit(NAME, 7, repository, "main")
    hub.gated.add(NAME)
    with pytest.raises(FailedPrecondition, match="is gated: accept its terms on its page, and set HF_TOKEN"):
        fetch(hub, tmp_path / "models" / "tiny")


def test_an_unknown_repository_or_revision(hub: Hub, repository: Path, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="has no such repository, revision or file, or it needs a token"):
        fetch(hub, tmp_path / "models" / "tiny")
    hub.commit(NAME, 7, repository, "main")
    with pytest.raises(FailedPrecondition, match="has no such repository, revision or file"):
        fetch(hub, tmp_path / "models" / "tiny", f"hub:{NAME}@v9")


def test_a_full_disk_is_told_before_the_weights_are_fetched(
    hub: Hub, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(NAME, 7, repository, "main")
    usage = shutil.disk_usage(tmp_path)._replace(free=(1 << 30) + 100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FailedPrecondition, match=r"needs .* kB more, and 1\.07 GB to spare; .* has 1\.07 GB free"):
        fetch(hub, tmp_path / "models" / "tiny")
    assert not any(path.endswith("model.safetensors") for _, path in hub.requests)


def test_two_at_once(hub: Hub, repository: Path, tmp_path: Path) -> None:
    hub.commit(NAME, 7, repository, "main")
    target = tmp_path / "models" / "tiny"
    target.parent.mkdir()
    with base_model._alone(target), pytest.raises(FailedPrecondition, match="another process is fetching the model"):
        fetch(hub, target)


def test_a_folder_of_somebody_elses_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "models" / "tiny"
    target.mkdir(parents=True)
    with pytest.raises(FailedPrecondition, match=r"was not fetched by Trivet \(no trivet-model\.json\)"):
        fetch(hub, target)
