"""The size of packages: files on one level, and names that others import from a room."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from pathlib import Path

from tests.support.pages.markdown_pages import ROOT

MOST_FILES = 14
MOST_NAMES = 12
SERVER = ROOT / "server"
PACKAGES = sorted(
    file.parent for file in (SERVER / "trivet").rglob("__init__.py") if "api" not in file.relative_to(SERVER).parts
)
WITHOUT_CONTRACT = {"trivet.integrations"}  # it has one room


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(SERVER).with_suffix("").parts)


def faces() -> dict[str, set[str]]:
    """By sub-package: the names that modules outside of it import from its modules."""
    rooms = {dotted(package) for package in PACKAGES if len(package.relative_to(SERVER).parts) > 2}
    found: dict[str, set[str]] = defaultdict(set)
    for file in (SERVER / "trivet").rglob("*.py"):
        inside = {*parents(dotted(file))}
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                for room in rooms.intersection(parents(node.module)) - inside:
                    found[room] |= {alias.name for alias in node.names}
    return found


def parents(module: str) -> list[str]:
    """It and what it lies in."""
    parts = module.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts) + 1)]


def test_a_level_has_few_files() -> None:
    others = {file.parent for top in ("benchmarks", "tests") for file in (ROOT / top).rglob("*.py")}
    assert len(others) > 40
    full = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in {*PACKAGES, *others}}
    assert {name: files for name, files in full.items() if files > MOST_FILES} == {}


def test_every_benchmark_is_run_in_the_same_way() -> None:
    parts = {"measuring", "searching"}  # which several share
    runnable = {folder.name for folder in (ROOT / "benchmarks").iterdir() if (folder / "__init__.py").is_file()} - parts
    wanting = [name for name in sorted(runnable) if f"python -m benchmarks.{name}" not in text_of(name)]
    assert wanting == []


def text_of(benchmark: str) -> str:
    file = ROOT / "benchmarks" / benchmark / "__main__.py"
    return file.read_text() if file.is_file() else ""


def test_a_room_has_a_narrow_face() -> None:
    names = faces()
    assert len(names) > 20
    wide = {room: sorted(face) for room, face in names.items() if len(face) > MOST_NAMES}
    assert wide == {}


def test_a_package_with_rooms_has_a_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    ordered = {container for contract in contracts for container in contract.get("containers", ())}
    outer = {
        dotted(package.parent) for package in PACKAGES if len(package.relative_to(SERVER).parts) == 3
    } - WITHOUT_CONTRACT
    assert {"trivet.adapters", "trivet.retrieval"} <= outer
    assert outer - ordered == set()
