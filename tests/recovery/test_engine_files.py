"""Every kind of damage to every file of a collection: it opens or it is set aside, and the others are served."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import qdrant_edge as edge

from tests.support.recovery.damage import DAMAGE
from trivet.vector.engine.collection_loader import KEPT
from trivet.vector.engine.collections import Collections

pytestmark = pytest.mark.process

POINTS = 60
NOBODY = 65534


def fill(folder: Path) -> None:
    """A collection as the server makes them, a part of it only in the write-ahead log."""
    draw = random.Random(1)
    config = edge.EdgeConfig(
        vectors={"dense": edge.EdgeVectorParams(8, edge.Distance.Cosine)},
        sparse_vectors={"terms": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        wal_enabled=True,
    )
    shard = edge.EdgeShard.create(str(folder), config)
    shard.update(edge.UpdateOperation.create_field_index("kind", edge.PayloadSchemaType.Keyword))
    for start in range(0, POINTS, 20):
        points = [
            edge.Point(
                number,
                {
                    "dense": [draw.uniform(-1, 1) for _ in range(8)],
                    "terms": edge.SparseVector(indices=[number % 7], values=[1.0]),
                },
                {"kind": "passage", "text": f"text {number}"},
            )
            for number in range(start, start + 20)
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
        if start == 20:
            shard.flush()
    shard.close()


def copied(source: Path, target: Path) -> None:
    """A copy that has the holes of the engine's files: they are most of their bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--sparse=auto", str(source), str(target)], check=True)


MEMORY = Path("/dev/shm")
ENOUGH = 256 << 20  # bytes; containers often have 64 MiB there


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: these tests open some hundred collections, each of which calls fsync."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ENOUGH:
        yield tmp_path_factory.mktemp("engine")
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def tmp_path(place: Path) -> Iterator[Path]:
    """One for each test, there."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def sound(place: Path) -> Path:
    """The `collections` folder of a vector process, with two of them."""
    folder = place / "sound" / "collections"
    folder.mkdir(parents=True)
    fill(folder / "one")
    collections = Collections(folder)  # books are written
    collections.close()
    copied(folder / "one", folder / "two")
    return folder


@pytest.mark.parametrize("kind", DAMAGE)
def test_no_damage_to_any_file_keeps_the_process_from_serving(sound: Path, tmp_path: Path, kind: str) -> None:
    files = [path.relative_to(sound) for path in sorted((sound / "one").rglob("*")) if path.is_file()]
    assert len(files) > 20
    set_aside = 0
    for number, file in enumerate(files):
        work = tmp_path / str(number)
        copied(sound, work / "collections")
        DAMAGE[kind](work / "collections" / file)
        collections = Collections(work / "collections")
        names = [name for name, _ in collections]
        assert "two" in names, file
        assert collections["two"].points == POINTS, file
        if "one" not in names:
            set_aside += 1
            (kept,) = (work / "set-aside").iterdir()
            assert kept.name.startswith("one."), file
            assert "one" in collections.problems
        collections.close()
        shutil.rmtree(work)
    assert set_aside >= 5, "else the damage was none"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"name": "one", "attempt": "often"}',
        b'{"name": ["one"], "attempt": -1}',
        b"\xff" * 100,
        b"[" * 4000,
    ],
)
def test_a_damaged_marker_of_an_opening_is_ignored(sound: Path, tmp_path: Path, content: bytes) -> None:
    copied(sound, tmp_path / "collections")
    (tmp_path / "opening.json").write_bytes(content)
    collections = Collections(tmp_path / "collections")
    assert {name: one.points for name, one in collections} == {"one": POINTS, "two": POINTS}
    assert not collections.problems
    collections.close()
    assert not (tmp_path / "set-aside").exists()


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_marker_that_is_damaged_between_two_openings(sound: Path, tmp_path: Path, kind: str) -> None:
    copied(sound, tmp_path / "collections")
    (tmp_path / "opening.json").write_text('{"name": "one", "attempt": 1}')
    DAMAGE[kind](tmp_path / "opening.json")
    collections = Collections(tmp_path / "collections")
    assert {name: one.points for name, one in collections} == {"one": POINTS, "two": POINTS}
    collections.close()


def test_vectors_that_are_gone_are_noticed_and_not_taken_for_zeros(sound: Path, tmp_path: Path) -> None:
    copied(sound, tmp_path / "collections")
    (chunk,) = (tmp_path / "collections" / "one").glob("segments/*/vector_storage-dense/vectors/chunk_0.mmap")
    chunk.unlink()
    collections = Collections(tmp_path / "collections")
    assert "chunk_0.mmap is missing" in collections.problems["one"]
    collections.close()


def test_a_collection_that_cannot_be_flushed_is_set_aside_and_the_others_are_flushed(
    sound: Path, tmp_path: Path
) -> None:
    copied(sound, tmp_path / "collections")
    collections = Collections(tmp_path / "collections")
    for name, collection in collections:
        collection.update(edge.UpdateOperation.upsert_points([edge.Point(1000, {}, {"kind": name})]))
    for mappings in (tmp_path / "collections" / "one").glob("segments/*/mutable_id_tracker.mappings"):
        DAMAGE["folder"](mappings)
    collections.flush()
    assert [name for name, _ in collections] == ["two"]
    assert collections.unflushed == 0
    assert [path.name.partition(".")[0] for path in (tmp_path / "set-aside").iterdir()] == ["one"]
    collections.close()


def test_what_is_set_aside_is_bounded_and_the_newest_stay(sound: Path, tmp_path: Path) -> None:
    kept = tmp_path / "set-aside"
    for number in range(KEPT + 2):
        copied(sound / "one", tmp_path / "collections" / f"c{number}")
        (tmp_path / "collections" / f"c{number}" / "edge_config.json").write_text("{")
        Collections(tmp_path / "collections").close()
    assert sorted(path.name.partition(".")[0] for path in kept.iterdir()) == ["c2", "c3", "c4"]


def test_a_machine_that_is_at_fault_sets_nothing_aside(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path) -> None:
        raise RuntimeError("IO Error: No space left on device (os error 28)")

    copied(sound, tmp_path / "collections")
    for _ in range(4):
        with monkeypatch.context() as patch:
            patch.setattr("trivet.vector.engine.collection_loader.Collection", full)
            with pytest.raises(RuntimeError, match="No space left"):
                Collections(tmp_path / "collections")
    collections = Collections(tmp_path / "collections")
    assert [name for name, _ in collections] == ["one", "two"]
    collections.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_files_that_may_not_be_read_are_set_aside(sound: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(sound, folder / "collections")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for path in (folder / "collections" / "one").rglob("segment.json"):
            os.chown(path, 0, 0)
            path.chmod(0o600)
        look = (
            "import os, sys; from pathlib import Path; from trivet.vector.engine.collections import Collections;"
            f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY});"
            "print([name for name, _ in Collections(Path(sys.argv[1]))])"
        )
        command = [sys.executable, "-c", look, str(folder / "collections")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "['two']", done.stderr
        assert [path.name.partition(".")[0] for path in (folder / "set-aside").iterdir()] == ["one"]
