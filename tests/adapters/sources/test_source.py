"""Source: nothing outside a root, no pickle, no surprises of the file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.sources.source import AdapterSource
from trivet.adapters.sources.source_file import SourceFile
from trivet.errors import AdapterRejected, NotFound
from trivet.testing.adapters import write_adapter
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_adapter(tmp_path / "root" / "tone" / "1", adapter_files(1))
    return tmp_path / "root"


def find(root: Path, ref: VersionRef = REF, max_bytes: int = 1 << 20) -> dict[str, SourceFile]:
    return dict(AdapterSource([root], max_bytes).find(ref).files)


def test_found(root: Path) -> None:
    assert set(find(root)) == {"adapter.yaml", "adapter_config.json", "adapter_model.safetensors"}
    assert list(AdapterSource([root], 1).list()) == [REF]


def test_unknown(root: Path) -> None:
    with pytest.raises(NotFound, match=r"adapter tone@2: not found: .* 1 place, expected tone/2"):
        find(root, VersionRef("tone", "2"))


@pytest.mark.parametrize("name", ["..", "../root/tone", "a/b", "", ".hidden", "/etc", "a\0b", "x" * 101])
def test_names_that_are_paths(root: Path, name: str) -> None:
    with pytest.raises(AdapterRejected, match="is not a name: expected letters, digits"):
        find(root, VersionRef(name, "1"))
    with pytest.raises(AdapterRejected, match="is not a name"):
        find(root, VersionRef("tone", name))


LEFT_BY_TRAINERS = (
    "optimizer.pt",
    "training_args.bin",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "README.md",
)


def test_what_trainers_leave_beside_is_not_looked_at(root: Path, tmp_path: Path) -> None:
    folder = root / "tone" / "1"
    for name in (*LEFT_BY_TRAINERS, "tokenizer.json", "adapter_model.bin", "checkpoint-500/optimizer.pt", ".git/HEAD"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x80\x04.")
    (folder / "runs").symlink_to(tmp_path)
    os.mkfifo(folder / "lock")
    assert set(find(root)) == {"adapter.yaml", "adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("adapter_model.bin", r"a pickle, which is never read: save the adapter again with .*safe_serialization=True"),
        ("adapter_model.safetensors.index.json", "the weights are in several files: save them as one"),
        ("model.safetensors", "that is a whole model"),
    ],
)
def test_something_else_in_the_weights_place(root: Path, name: str, advice: str) -> None:
    (root / "tone" / "1" / "adapter_model.safetensors").rename(root / "tone" / "1" / name)
    with pytest.raises(
        AdapterRejected, match=rf"adapter_model.safetensors is missing, and there is {name}: .*{advice}"
    ):
        find(root)


def test_folder_that_links_out(root: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "outside" / "1", adapter_files(1))
    (root / "evil").symlink_to(tmp_path / "outside")
    with pytest.raises(AdapterRejected, match="the folder is a link out of the adapters' folder") as refused:
        find(root, VersionRef("evil", "1"))
    assert str(tmp_path) not in str(refused.value)


def test_file_that_links_out(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    config = root / "tone" / "1" / "adapter_config.json"
    config.unlink()
    config.symlink_to(secret)
    with pytest.raises(AdapterRejected, match=r"adapter_config.json is a link out of the adapters' folder"):
        find(root)
    config.unlink()
    config.symlink_to(tmp_path / "nothing")
    with pytest.raises(AdapterRejected, match=r"adapter_config.json is a link to nothing"):
        find(root)


def test_links_inside_are_fine(root: Path) -> None:
    (root / "tone" / "stable").symlink_to(root / "tone" / "1")
    (root / "tone" / "1" / "notes.md").write_text("Made in May.")
    with find(root, VersionRef("tone", "stable"))["adapter.yaml"].open(0) as file:
        assert file.read() == (root / "tone" / "1" / "adapter.yaml").read_bytes()


def test_not_a_plain_file(root: Path) -> None:
    weights = root / "tone" / "1" / "adapter_model.safetensors"
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(AdapterRejected, match=r"adapter_model.safetensors is not a plain file"):
        find(root)


def test_sizes(root: Path) -> None:
    with pytest.raises(AdapterRejected, match=r"adapter_model.safetensors has \d+ bytes, expected 1 to 1000"):
        find(root, max_bytes=1000)
    (root / "tone" / "1" / "adapter.yaml").write_text("")
    with pytest.raises(AdapterRejected, match=r"adapter.yaml has 0 bytes, expected 1 to 1048576"):
        find(root)


def test_missing_file(root: Path) -> None:
    (root / "tone" / "1" / "adapter_config.json").unlink()
    with pytest.raises(AdapterRejected, match=r"adapter_config.json is missing, expected adapter.yaml"):
        find(root)


def test_file_that_becomes_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    files = find(root)
    config = root / "tone" / "1" / "adapter_config.json"
    config.unlink()
    config.symlink_to(tmp_path / "secret")
    with pytest.raises(AdapterRejected, match=r"adapter_config.json cannot be read: Too many levels"):
        files["adapter_config.json"].open(0)
    config.unlink()
    with pytest.raises(AdapterRejected, match=r"adapter_config.json cannot be read: No such file"):
        files["adapter_config.json"].open(0)
