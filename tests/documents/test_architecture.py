"""docs/architecture.md names files, folders, classes and functions: each of them exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.pages.markdown_pages import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
PACKAGE = ROOT / "server" / "trivet"
NAMED = sorted(set(re.findall(r"`([a-z_/]+\.py)(?:::([A-Za-z_.]+))?`", TEXT)))
FOLDERS = sorted(set(re.findall(r"`([a-z0-9_/]+/)`", TEXT)))


def defined(tree: ast.Module) -> set[str]:
    """Functions and classes of a module, and methods as `Class.method`."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


def test_the_page_names_code() -> None:
    assert len(NAMED) > 30
    assert len(FOLDERS) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_name_is_in_its_file(file: str, name: str) -> None:
    tree = ast.parse((PACKAGE / file).read_text())
    assert not name or name in defined(tree), f"docs/architecture.md: {file} has no {name}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_there(folder: str) -> None:
    assert (PACKAGE / folder).is_dir() or (ROOT / folder).is_dir(), f"docs/architecture.md: there is no {folder}"
