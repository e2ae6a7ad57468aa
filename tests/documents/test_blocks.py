"""What stands in the documents' fenced blocks and inline code is sound: it parses, fits its schema, and exists."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from tests.support.pages.command_lines import commands, is_trivet, problem
from tests.support.pages.markdown_pages import ROOT, Block, Page, pages
from trivet.adapters.preflight.manifest import parse_manifest
from trivet.cli.adapter.recipe import RecipeFile
from trivet.cli.distill.recipe import DistillationFile
from trivet.config.schema import ConfigFile, IndexFile
from trivet.config.schema.backends import EmbeddedBackend
from trivet.config.schema.engine import EngineFile
from trivet.evaluation.suite import SuiteFile
from trivet.prompts.template.parser import read_prompt
from trivet.types.variant import VersionRef

PAGES = pages()
PROJECT = ROOT / "server" / "trivet" / "cli" / "project" / "template"  # what `trivet init` writes
BLOCKS = [block for page in PAGES for block in page.blocks]
LANGUAGES = {"sh", "console", "python", "yaml", "json", "text", "markdown", "promql"}
OTHERS = {"javascript", "js", "go", "java", "proto", "ini", "nginx", "toml", "mermaid"}  # of pages on other languages
NOTES = {"", "not run", "yaml", "prompt", "server", "replaces", "run"}
# What a part of a file is put into, so that it can be checked as a whole.
WHOLE: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "trivet.yaml": (
        ConfigFile,
        {
            "backends": {"local": {"kind": "embedded", "model": "model"}},
            "routes": {"route": {"variants": {"one": {"weight": 1, "backend": "local", "prompt": "prompt@1"}}}},
        },
    ),
    "a backend": (EmbeddedBackend, {"kind": "embedded", "model": "model"}),
    "engine.yaml": (EngineFile, {}),
    "index.yaml": (IndexFile, {}),
    "suite.yaml": (SuiteFile, {}),
    "recipe": (RecipeFile, {}),
    "distillation": (DistillationFile, {}),
}


def of(*languages: str) -> list[Any]:
    """The blocks in these languages, as parameters."""
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language in languages]


def test_every_block_names_its_language_and_every_note_is_known() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES | OTHERS] == []
    assert [f"{block}: {block.note}" for block in BLOCKS if block.note[0] not in NOTES] == []
    assert [str(block) for block in BLOCKS if block.note[0] == "not run" and len(block.note[1].split()) < 2] == []


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_fits_its_schema(block: Block) -> None:
    kind = block.note[1] if block.note[0] == "yaml" else "trivet.yaml"
    data = yaml.safe_load(block.text)
    if kind == "arms of a suite":
        arms = data if len(data) > 1 else data | {"other": {"prompt": "prompt@1"}}
        SuiteFile.model_validate({"data": "x", "correct": ["exact_match"], "baseline": next(iter(arms)), "arms": arms})
    elif kind == "adapter.yaml":
        parse_manifest(block.text.encode(), VersionRef(data["name"], data["version"]))
    elif kind != "other":
        model, rest = WHOLE[kind]
        try:
            model.model_validate(rest | data)
        except ValidationError as error:
            pytest.fail(f"{block}: {error}")


@pytest.mark.parametrize("block", of("json"))
def test_json_parses(block: Block) -> None:
    try:
        json.loads(block.text)
    except ValueError:
        for line in block.text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("block", of("python"))
def test_python_compiles_and_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text, str(block))
    if block.note[0] == "not run":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("block", [param for param in of("markdown") if param.values[0].note[0] == "prompt"])
def test_a_prompt_is_one(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "1.md"
    path.write_text(block.text)
    source = read_prompt(VersionRef("example", "1"), path)
    assert source.turns or source.raw


def shell(block: Block) -> str:
    """The commands of a block, without what they print."""
    if block.language == "sh":
        return block.text
    return "\n".join(line[2:] for line in block.text.splitlines() if line.startswith("$ "))


@pytest.mark.parametrize("block", of("sh", "console"))
def test_shell_commands_exist(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for words in commands(shell(block)):
        if is_trivet(words) and (found := problem(words)):
            wrong.append(f"{shlex.join(words)}: {found}")
        if words[0] == "make" and not {word for word in words[1:] if "=" not in word} <= targets:
            wrong.append(f"{shlex.join(words)}: no such target")
        if words[0].endswith("python") and words[1].endswith(".py") and not (ROOT / words[1]).is_file():
            wrong.append(f"{shlex.join(words)}: no such file")
    assert wrong == []


def inline(page: Page) -> Iterator[tuple[int, str]]:
    """(line, text) of the inline code of a page."""
    blank = page.prose.split("\n")
    for number, line in enumerate(page.lines):
        if blank[number]:
            yield from ((number + 1, code) for code in re.findall(r"`([^`\n]+)`", line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))
def test_inline_commands_exist(page: Page) -> None:
    wrong = []
    for line, code in inline(page):
        if not code.startswith("trivet ") or "..." in code or "|" in code:
            continue
        words = shlex.split(code.replace("[", "").replace("]", ""))
        if found := problem(words, whole=False):
            wrong.append(f"{line}: `{code}`: {found}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Page) -> None:
    named = r"(?:server|tests|benchmarks|deploy|evals|models/demo|proto|docs|examples|clients)/[\w./*-]+"
    wrong = []
    for line, code in inline(page):
        there = [*ROOT.glob(code.rstrip("/")), *PROJECT.glob(code.rstrip("/"))] if re.fullmatch(named, code) else [code]
        if not there:
            wrong.append(f"{line}: no {code}")
        run = re.match(r"(?:\.venv/bin/)?python (\S+\.py)", code)
        if run and not (ROOT / run[1]).is_file():
            wrong.append(f"{line}: no {run[1]}")
        benchmark = re.match(r"(?:\.venv/bin/)?python -m (benchmarks\.[a-z_]+)\b", code)
        if benchmark and not (ROOT / benchmark[1].replace(".", "/") / "__main__.py").is_file():
            wrong.append(f"{line}: no {benchmark[1]}")
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("trivet index bild handbook", "no verb"),
        ("trivet ask hi --rout support", "--rout"),
        ("trivet ask", "missing"),
        ("trivet adapter ls handbook", "too many"),
        ("trivet ask hi --top-k many", "many"),
        ("trivet index build handbook && trivet ask hi --json | jq .text", ""),
    ],
)
def test_a_wrong_command_is_noticed(command: str, wrong: str) -> None:
    found = [problem(words) for words in commands(command) if is_trivet(words)]
    assert found
    assert any(wrong in told for told in found) if wrong else found == ["", ""]
