"""The images' recipes: what a linter says, who they run as, what gets in, and that versions fit the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
RECIPES = sorted(FOLDER.glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_there_are_two() -> None:
    assert [path.name for path in RECIPES] == ["engine.Dockerfile", "gateway.Dockerfile"]


@pytest.mark.process
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_linter_has_nothing_to_say(recipe: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--failure-threshold", "style", recipe], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_it_runs_as_another_user_than_root_and_stops_in_order(recipe: Path) -> None:
    lines = recipe.read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert "STOPSIGNAL SIGTERM" in lines
    assert 'ENTRYPOINT ["trivet"]' in lines  # the process itself: a shell would keep signals to itself
    assert not [line for line in lines if re.match(r"(FROM|COPY --from=)\S* ?\S*:latest", line)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_only_what_it_copies_gets_in(recipe: Path) -> None:
    ignored = recipe.with_name(recipe.name + ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied: set[str] = set()
    for line in recipe.read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied.update(line.split()[1:-1])
    assert copied == let_in
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_the_engine_is_of_the_version_of_the_extra() -> None:
    pinned = PROJECT["optional-dependencies"]["gpu"][0].removeprefix("vllm==")
    assert f"FROM vllm/vllm-openai:v{pinned}\n" in (FOLDER / "engine.Dockerfile").read_text()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_extras_that_it_installs_exist(recipe: Path) -> None:
    named = re.findall(r"\[((?:\w+,?)+)\]'", recipe.read_text())
    extras = {extra for group in named for extra in group.split(",")}
    assert extras
    assert extras <= set(PROJECT["optional-dependencies"])
