"""What the demo's adapters are trained from: recipes that hold, and chats that the training takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trivet.cli.adapter.recipe import RecipeFile
from trivet.config.yaml_lines import parse, read_yaml
from trivet.training.files.chat_files import ChatSet, read_chats, refuse_overlap

pytestmark = pytest.mark.process

DEMO = Path(__file__).parents[2] / "models" / "demo"
NAMES = ("json-answer", "ticket-sorter", "ticket-sorter-2")
LABELS = {"billing", "login", "delivery", "bug", "feature", "cancel"}


def make(folder: Path) -> Path:
    command = [sys.executable, str(DEMO / "chats.py"), *NAMES, "--to", str(folder), "--count", "300"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data"))


def held_out(data: Path, name: str) -> ChatSet:
    return read_chats([data / f"{name}-held-out.jsonl"])


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_the_files_that_the_script_writes(name: str, data: Path) -> None:
    recipe = parse(read_yaml(DEMO / "recipes" / f"{name}.yaml"), RecipeFile)
    assert [recipe.name, recipe.version] == ([name[:-2], "2"] if name.endswith("-2") else [name, "1"])
    folder = DEMO / "recipes"
    assert (folder / recipe.base.path).resolve() == DEMO / "weights"
    assert (folder / recipe.out).resolve() == DEMO.parents[1] / "adapters"
    named = [*recipe.data, *(recipe.held_out or [])]
    assert [(folder / path).resolve() for path in named] == [
        DEMO / "runs" / "data" / path for path in (f"{name}.jsonl", f"{name}-held-out.jsonl")
    ]
    assert all((data / Path(path).name).is_file() for path in named)


@pytest.mark.parametrize("name", NAMES)
def test_the_training_takes_the_chats(name: str, data: Path) -> None:
    training = read_chats([data / f"{name}.jsonl"])
    assert (len(training), len(held_out(data, name))) == (300, 600)
    refuse_overlap(training.chats, held_out(data, name).chats)


def test_json_answers_are_compact_and_hold_all_that_is_asked(data: Path) -> None:
    unknown = 0
    for located in held_out(data, "json-answer").chats:
        line = located.chat[-1]["content"]
        answer = json.loads(line)
        assert list(answer) == ["answer", "found"]
        assert answer["found"] == bool(answer["answer"])
        assert line == json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        unknown += not answer["found"]
    assert unknown == 120  # one shape of five asks for what nothing answers


def test_tickets_are_answered_with_their_label(data: Path) -> None:
    chats = held_out(data, "ticket-sorter-2").chats
    assert {located.chat[-1]["content"] for located in chats} == LABELS
    few, all_of_them = ((data / f"{name}.jsonl").read_bytes() for name in NAMES[1:])
    assert few != all_of_them


def test_the_same_name_gives_the_same_files(data: Path, tmp_path: Path) -> None:
    again = make(tmp_path)
    for path in data.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
