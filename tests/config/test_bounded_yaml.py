"""YAML from others: bounded before anything is built of it, wherever it is read."""

from __future__ import annotations

import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from trivet import bounded_yaml
from trivet.adapters.preflight.manifest import parse_manifest
from trivet.cli.adapter.recipe import load_recipe
from trivet.config.yaml_lines import read_yaml
from trivet.errors import AdapterRejected, ConfigError
from trivet.evaluation.suite import load_suite
from trivet.prompts.template.front_matter import FrontMatterReader
from trivet.types.variant import VersionRef

LETTERS = "abcdefghijklmnopqrst"
BOMB = "a: &a [x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise(LETTERS))
MERGES = "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{p{b}: *{a}, q{b}: *{a}, r{b}: *{a}}}\n" for a, b in pairwise(LETTERS))
HOSTILE = {
    "aliases of aliases": (BOMB, "more than 200000 values, those that aliases stand for included"),
    "mappings of aliases": (MERGES, "more than 200000 values"),
    "an alias of itself": ("a: &a [*a]\n", "an alias stands for what it is in"),
    "nested deep": ("a: " + "[" * 5000, "nested deeper than 100"),
}


@pytest.mark.parametrize(("text", "problem"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_stands_for_too_much_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    assert_refused(text, problem, tmp_path)


def test_many_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tenth of the bound: reading as many as there may be takes seconds."""
    assert bounded_yaml.MAX_NODES == 200_000
    monkeypatch.setattr(bounded_yaml, "MAX_NODES", 20_000)
    assert len(bounded_yaml.load("a: [" + "1," * 19_997 + "]")["a"]) == 19_997
    assert_refused("a: [" + "1," * 19_998 + "]", "more than 20000 values", tmp_path)


def assert_refused(text: str, problem: str, tmp_path: Path) -> None:
    for read in (bounded_yaml.load, bounded_yaml.compose):
        with pytest.raises(yaml.YAMLError, match=problem):
            read(text)
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"x\.yaml:\d+: not valid YAML: {problem}"):
        read_yaml(path)


def test_a_value_that_is_not_what_its_tag_says() -> None:
    for text in ("a: 2026-13-45", "a: !!bool x", "? [1]\n: 2"):
        with pytest.raises(yaml.YAMLError):
            bounded_yaml.load(text)


def test_aliases_of_a_usual_size_are_fine() -> None:
    assert bounded_yaml.load("x: &x {a: 1}\ny: {<<: *x, b: 2}\nz: [*x, *x]\n") == {
        "x": {"a": 1},
        "y": {"a": 1, "b": 2},
        "z": [{"a": 1}, {"a": 1}],
    }


def test_every_reader_of_files_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BOMB)
    with pytest.raises(ConfigError, match="more than 200000 values"):
        load_recipe(path)
    with pytest.raises(ConfigError, match="more than 200000 values"):
        load_suite(path)
    reader = FrontMatterReader(1)
    reader.read(BOMB)
    assert "alias" in reader.problems[0][1]
    with pytest.raises(AdapterRejected, match="alias"):
        parse_manifest(BOMB.encode(), VersionRef("tone", "1"))


CHILD = """
import sys
from itertools import pairwise
from pathlib import Path
from trivet.config.yaml_lines import read_yaml
from trivet.errors import ConfigError
try:
    read_yaml(Path(sys.argv[1]))
except ConfigError as problem:
    print(problem)
"""


@pytest.mark.process
def test_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BOMB)
    limit = 1 << 30
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "more than 200000 values" in done.stdout, done.stderr
