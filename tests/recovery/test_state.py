"""The state store's file, damaged and put back, and what is said of a store that is a database server."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.support.recovery.damage import DAMAGE
from trivet.app.recovery.backup import back_up
from trivet.app.recovery.databases import examine_database
from trivet.app.recovery.doctor import examine
from trivet.app.recovery.findings import Diagnosis
from trivet.app.recovery.restore import restore
from trivet.app.state.opening import open_state
from trivet.config import load_config
from trivet.errors import FailedPrecondition
from trivet.retrieval.service import open_database
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore

CONFIG = """\
version: 1
server: {{data_dir: {folder}}}
prompts: prompts
adapters: [adapters]
backends:
  local: {{kind: embedded, model: model}}
routes:
  plain:
    variants:
      base: {{backend: local, prompt: p@1, weight: 1}}
"""


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.sqlite"
    StateStore.open(path).close()
    return path


@pytest.mark.parametrize("kind", ["truncated", "flipped", "folder"])
def test_a_damaged_file_is_refused_with_the_remedy(state: Path, kind: str) -> None:
    if kind == "flipped":
        state.write_bytes(b"X" + state.read_bytes()[1:])
    else:
        DAMAGE[kind](state)
    with pytest.raises(FailedPrecondition, match=r"state\.sqlite cannot be opened: .*trivet doctor"):
        StateStore.open(state)
    found = Diagnosis()
    examine_database(state, 1, found)
    assert "trivet restore" in found.findings[0].remedy


def test_a_file_of_a_newer_version_is_refused_everywhere(state: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(state)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.execute("PRAGMA user_version = 999")
        connection.commit()
    with pytest.raises(FailedPrecondition, match="schema version 0999, which a newer Trivet made"):
        StateStore.open(state)
    found = Diagnosis()
    examine_database(state, 1, found)
    assert "schema version 999" in found.findings[0].what
    back_up(tmp_path, tmp_path.with_name("backup"), quiet)
    with pytest.raises(FailedPrecondition, match="schema version 999"):
        restore(tmp_path.with_name("backup"), tmp_path.with_name("again"), quiet)


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (id INTEGER)")
    with pytest.raises(FailedPrecondition, match="not the state store's \\(accounts\\)"):
        StateStore.open(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a document log, and a configuration beside it."""
    for path, content in (("model/config.json", "{}"), ("prompts/p/1.md", "Be kind.")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "adapters").mkdir()
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "trivet.yaml").write_text(CONFIG.format(folder=folder))
    open_database(folder / "documents.sqlite").close()
    return folder


@pytest.mark.parametrize("lost", ["missing", "empty"])
async def test_a_file_that_was_lost_beside_staged_adapters_is_not_begun_anew(folder: Path, lost: str) -> None:
    (folder / "adapters" / "a@1#0123456789ab").mkdir(parents=True)
    if lost == "empty":
        (folder / "state.sqlite").touch()
    config, owned = load_config(folder.parent / "trivet.yaml"), DataFolder.open(folder)
    with pytest.raises(FailedPrecondition, match=r"state\.sqlite is (missing|empty).*trivet restore"):
        async with open_state(config, owned):
            pass
    owned.close()


async def test_desired_adapters_of_an_older_version_move_in_at_the_first_start(folder: Path) -> None:
    (folder / "adapters" / "a@1#0123456789ab").mkdir(parents=True)
    older = folder / "adapters.sqlite"
    with contextlib.closing(sqlite3.connect(older)) as connection:
        connection.execute("CREATE TABLE adapter_wishes (backend, name, version, digest, recorded)")
        rows = [("local", "a", str(number), "d" * 64, float(number)) for number in (1, 2)]
        connection.executemany("INSERT INTO adapter_wishes VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    assert not any("lost" in finding.what for finding in (await examine(folder, quiet)).findings)
    config = load_config(folder.parent / "trivet.yaml")
    for _ in range(2):
        owned = DataFolder.open(folder)
        async with open_state(config, owned) as store:
            found = await store.desired_adapters.all("local")
            assert [str(one.ref) for one in found] == ["a@2", "a@1"], "the last one first"
        owned.close()
        assert not older.exists()


async def test_an_older_file_that_is_damaged_is_refused_and_stays(folder: Path) -> None:
    (folder / "adapters.sqlite").write_text("not a database " * 100)
    owned = DataFolder.open(folder)
    with pytest.raises(FailedPrecondition, match=r"adapters\.sqlite cannot be opened: .*trivet doctor"):
        async with open_state(load_config(folder.parent / "trivet.yaml"), owned):
            pass
    owned.close()
    assert (folder / "adapters.sqlite").exists()


async def test_of_a_database_server_the_doctor_and_the_backup_say_whose_it_is(folder: Path) -> None:
    config = folder.parent / "trivet.yaml"
    config.write_text(config.read_text() + "state: {url: 'postgresql://trivet@127.0.0.1:1/rollouts'}\n")
    owned = DataFolder.open(folder)
    async with open_state(load_config(config), owned) as store:  # away: serving goes on
        assert store is not None
    owned.close()
    (folder / "adapters" / "a@1#0123456789ab").mkdir(parents=True)
    found = await examine(folder, quiet)
    assert [note for note in found.notes if "127.0.0.1:1/rollouts" in note and "operator's" in note]
    assert not any("lost" in finding.what for finding in found.findings)
    made = back_up(folder, folder.with_name("backup"), quiet)
    assert [line for line in made.left_out if "127.0.0.1:1/rollouts" in line]
