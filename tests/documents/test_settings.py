"""Every setting has a line in the documents, with its default; and no line is about a setting that does not exist."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tests.support.pages.markdown_pages import ROOT, Page
from trivet.adapters.preflight.manifest import FIELDS as MANIFEST_FIELDS
from trivet.cli.adapter.recipe import RecipeFile
from trivet.config import Environment
from trivet.config.schema import ConfigFile, IndexFile
from trivet.evaluation.suite import SuiteFile
from trivet.prompts.template import front_matter

DOCS = ROOT / "docs"
FILES: dict[str, tuple[str, type[BaseModel]]] = {
    "trivet.yaml": ("configuration.md", ConfigFile),
    "index.yaml": ("configuration.md", IndexFile),
    "suite.yaml": ("evaluation.md", SuiteFile),
    "Recipe": ("adapters.md", RecipeFile),
}
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1, "ms": 1, "": 1}
UNKNOWN = object()


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, default) of each field that is no section; `<>` stands for a name, `[]` for an entry of a list."""
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        yield from _settings(info.annotation, prefix + (info.alias or name), default)


def _settings(annotation: Any, path: str, default: Any) -> Iterator[tuple[str, Any]]:
    sections = list(_sections(annotation, path))
    if not sections or path == "adapters":  # its entries are texts or sections
        yield path, default
    for section, inside in sections:
        yield from settings(section, f"{inside}.")


def _sections(annotation: Any, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _sections(arguments[0], path)
    elif origin is list:
        yield from _sections(arguments[0], f"{path}[]")
    elif origin is dict:
        yield from _sections(arguments[1], f"{path}.<>")
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _sections(argument, path)


def documented(file: str) -> dict[str, str]:
    """The default of each setting as the page of this file has it, by path."""
    found: dict[str, str] = {}
    for heading, cells in Page(DOCS / FILES[file][0]).rows():
        prefix = _prefix(heading, file)
        if prefix is None or len(cells) != 3 or not cells[0].startswith("`"):
            continue
        path = re.sub(r"<[^>]*>", "<>", prefix + cells[0].strip("`"))
        assert path not in found, f"{path} has two lines"
        assert cells[2], f"{path}: the page does not say what it means"
        found[path] = cells[1]
    return found


def _prefix(heading: str, file: str) -> str | None:
    """What stands before the names in the table below this heading; None if the table is about something else."""
    if heading == ("Top level" if file == "trivet.yaml" else file):
        return ""
    begin = "" if file == "trivet.yaml" else re.escape(f"{file}: ")
    section = re.fullmatch(f"{begin}`(.+)`", heading)
    return f"{section[1]}." if section else None


def meaning(cell: str) -> Any:
    """The value that a default's cell states; UNKNOWN for words."""
    text = cell.split(",")[0] if not re.match(r"[\d,]+(?: |$)", cell) else cell.replace(",", "")
    text = text.strip("`")
    if text in ("true", "false"):
        return text == "true"
    number = re.fullmatch(r"(-?[\d.]+) ?([A-Za-z]*)", text)
    if number and number[2] in UNITS:
        return float(number[1]) * UNITS[number[2]]
    return text


@pytest.mark.parametrize("file", FILES)
def test_every_setting_has_a_line(file: str) -> None:
    known = {path for path, _ in settings(FILES[file][1])}
    lines = set(documented(file))
    assert known, "no settings were found"
    assert (sorted(known - lines), sorted(lines - known)) == ([], []), "(without a line, lines without a setting)"


@pytest.mark.parametrize("file", FILES)
def test_every_line_states_the_default(file: str) -> None:
    wrong = []
    lines = documented(file)
    for path, default in settings(FILES[file][1]):
        told = meaning(lines.get(path, ""))
        if default is PydanticUndefined:
            right = told == "required"
        elif default is None or default in ([], {}, ""):
            right = not isinstance(told, float | bool) and told != "required"
        elif isinstance(default, list):
            right = [meaning(part) for part in lines[path].strip("`").split(", ")] == default
        elif isinstance(default, bool | str):
            right = told == default
        else:
            right = isinstance(told, float) and told == default
        if not right:
            wrong.append(f"{path}: the page says {lines.get(path)!r}, the default is {default!r}")
    assert wrong == []


def test_every_environment_variable_has_a_line() -> None:
    lines = {c[0].strip("`") for h, c in Page(DOCS / "configuration.md").rows() if h == "Environment" and "`" in c[0]}
    assert lines == {f"TRIVET_{field.name.upper()}" for field in fields(Environment)}


def test_every_field_of_a_prompt_has_a_line() -> None:
    lines = {c[0].strip("`") for h, c in Page(DOCS / "prompts.md").rows() if h == "Passages" and "`" in c[0]}
    inside = {"variables.<name>.default", "variables.<name>.description"}
    assert lines == {*front_matter._FIELDS, *inside}


def test_every_field_of_a_manifest_has_a_line() -> None:
    cells = [c[0] for h, c in Page(DOCS / "adapters.md").rows() if h == "The manifest" and "`" in c[0]]
    named = {name.partition(".")[0] for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert named == set(MANIFEST_FIELDS)


def test_a_missing_line_is_noticed() -> None:
    class More(IndexFile):
        another: int = 3

    assert {path for path, _ in settings(More)} - set(documented("index.yaml")) == {"another"}
