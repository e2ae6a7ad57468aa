"""`trivet adapter merge` as a person meets it: what it prints, refuses and leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.engine.tiny_model import adapter_files, make_model
from trivet.adapters.preflight.base_model import BaseModel
from trivet.cli.main import main
from trivet.testing.adapters import write_adapter


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a base, an adapter tone@1 for it, and a route that uses neither adapter nor index."""
    make_model(tmp_path / "model")
    write_adapter(tmp_path / "adapters" / "tone" / "1", adapter_files(1))
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Answer.")
    path = tmp_path / "trivet.yaml"
    content = {
        "version": 1,
        "backends": {"base": {"kind": "embedded", "model": "model"}},
        "routes": {"ask": {"variants": {"a": {"weight": 1, "backend": "base", "prompt": "p@1"}}}},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def merge(config: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["adapter", "merge", "--config", str(config), *map(str, arguments)])


def test_by_name_and_by_folder_for_people_and_in_json(config: Path, tmp_path: Path) -> None:
    result = merge(config, "tone@1", "--to", tmp_path / "out" / "merged")
    assert result.exit_code == 0, result.output
    fingerprint = BaseModel(tmp_path / "out" / "merged").fingerprint
    assert result.stdout.startswith(f"tone@1 merged: {tmp_path}/out/merged\n  fingerprint  {fingerprint}\n")
    assert "method       lora, rank 8, 14 modules" in result.stdout
    assert "merging: 21/21" in result.stderr
    result = merge(config, tmp_path / "adapters" / "tone" / "1", "--to", tmp_path / "again", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["folder"] == str(tmp_path / "again")
    assert told["merged"] == yaml.safe_load((tmp_path / "again" / "merged.yaml").read_text())
    assert told["merged"]["fingerprint"] == fingerprint


def test_what_is_refused_is_exit_code_1_and_leaves_nothing(config: Path, tmp_path: Path) -> None:
    target = tmp_path / "merged"
    for arguments, message in (
        (["none@1"], "adapter none@1"),
        (["tone@"], "expected name@version, got 'tone@'"),
        (["tone@1", "--backend", "other"], "no backend 'other'; known: base"),
    ):
        result = merge(config, *arguments, "--to", target)
        assert result.exit_code == 1, result.output
        assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapters", "model", "prompts", "trivet.yaml"]
    assert merge(config, "tone@1", "--to", target).exit_code == 0
    result = merge(config, "tone@1", "--to", target)
    assert result.exit_code == 1
    assert f"{target} exists: name another folder, or say --replace" in result.stderr
    assert merge(config, "tone@1", "--to", target, "--replace").exit_code == 0
    assert merge(config, "tone@1").exit_code == 2


def test_help_has_examples() -> None:
    result = CliRunner().invoke(main, ["adapter", "merge", "--help"])
    assert "trivet adapter merge json-answer@1 --to models/json-answer" in result.output
