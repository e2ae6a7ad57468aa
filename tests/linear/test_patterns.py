"""Every regular expression of the package, as it is used, in time that grows with the text alone.

The patterns are found in the source: a new one is tried without being named here, and one that is put together while
the server runs has to be.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import trivet
from tests.support import growth

PACKAGE = Path(trivet.__file__).parent
METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub", "subn")
# What has to stand before a run so that the pattern gets to it.
PREFIXES = {
    "trivet.config.checks._PLACE": "gs://aaa",
    "trivet.config.checks._S3_PLACE": "s3://aaa",
    "trivet.adapters.tensors.tensor_name._NAME": "base_model.model.",
}
# Put together from parts that are checked, or tried in a process of its own: by file and function.
MADE_WHILE_RUNNING = {
    ("config/wording.py", "describe"),  # a field's own pattern, over a number
    ("adapters/preflight/peft_config.py", "_compiled"),  # a plain name of at most a module's length
    ("backends/launch/failure.py", "_shortened"),  # 4,096 characters of the engine's log, when it did not start
    ("backends/launch/failure.py", "remedy_of"),  # what that leaves
    ("prompts/tokenizer/skeleton.py", "__init__"),  # a random word between letters
    ("types/text/path_pattern.py", "parse"),  # an operator's, within a name: fnmatch makes it without backtracking
}


@dataclass(frozen=True)
class Used:
    """A module's pattern and the methods that are called of it."""

    module: str
    name: str
    methods: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def pattern(self) -> re.Pattern[str]:
        """Imported when it is asked for: collecting tests must not import everything."""
        found = getattr(importlib.import_module(self.module), self.name)
        if isinstance(found.pattern, bytes):  # as a text of the same characters
            found = re.compile(found.pattern.decode("latin-1"))
        assert isinstance(found, re.Pattern)
        return found


@cache
def trees() -> dict[Path, ast.Module]:
    return {
        path.relative_to(PACKAGE): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "api"
    }


def is_re_call(node: ast.AST) -> bool:
    """`re.something(...)` that takes a pattern."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in (*METHODS, "compile")
    )


@cache
def calls() -> dict[str, set[str]]:
    """The methods that are called of, or taken from, anything, by its name."""
    found: dict[str, set[str]] = defaultdict(set)
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                if isinstance(node.value, ast.Name):
                    found[node.value.id].add(node.attr)
                elif isinstance(node.value, ast.Attribute):
                    found[node.value.attr].add(node.attr)
    return dict(found)


def called(name: str) -> tuple[str, ...]:
    """The methods that are used of a pattern of this name; all of them if none is."""
    return tuple(sorted(calls().get(name, METHODS)))


def patterns() -> Iterator[Used]:
    for path, tree in trees().items():
        names = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign) and is_re_call(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        module = ".".join(("trivet", *path.with_suffix("").parts))
        yield from (Used(module, name, called(name)) for name in names)


@pytest.mark.process
@pytest.mark.parametrize("used", tuple(patterns()), ids=str)
def test_a_pattern_takes_time_by_the_length_of_the_text(used: Used) -> None:
    asked = [used.pattern.pattern, used.pattern.flags & ~re.UNICODE, used.methods, PREFIXES.get(str(used), "")]
    done = subprocess.run(
        [sys.executable, growth.__file__], input=json.dumps(asked), capture_output=True, text=True, timeout=170
    )
    assert not done.returncode, f"killed after {growth.CPU_SECONDS} s of CPU, or failed: {done.stderr[-500:]}"
    assert json.loads(done.stdout) == []


def test_prefixes_are_of_patterns_that_there_are() -> None:
    assert PREFIXES.keys() <= {str(used) for used in patterns()}


def test_no_pattern_is_made_while_the_server_runs_but_those_that_are_named() -> None:
    found = set()
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {(str(path), node.name) for inner in ast.walk(node) if is_re_call(inner)}
    assert found <= MADE_WHILE_RUNNING


@pytest.mark.process
@pytest.mark.parametrize(
    ("pattern", "method"),
    [(r"\w+(?:\.\w+)+", "search"), (r"\s+\S*\Z", "search"), (r"\s+#+\s*$", "sub"), (r"\{\{(.*?)\}\}", "finditer")],
)
def test_the_measure_notices_what_is_quadratic(pattern: str, method: str) -> None:
    work = growth.with_pattern(re.compile(pattern, re.DOTALL), method)
    assert any(growth.too_fast(work, runs=("x", " ", "{{")))  # the first one says it: each takes seconds
    assert not list(growth.too_fast(growth.with_pattern(re.compile(r"\w+"), method), runs=("x", " ", "{{")))
