"""The command with a server of its own: real engine, real vector engine, the handbook's suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from trivet.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.mark.engine
def test_an_evaluation_starts_its_server_and_goes_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = ["eval", "handbook", "--arm", "rag", "--arm", "hybrid", "--arm", "hybrid+schema", "--arm", "stuffed"]
    words += ["--baseline", "base", "--limit", "2", "--data-dir", str(tmp_path), "--json"]
    first = CliRunner().invoke(main, words, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    main_part, general = json.loads(first.stdout)["parts"]
    arms = {arm["name"]: arm for arm in main_part["arms"]}
    assert list(arms) == ["base", "rag", "hybrid", "hybrid+schema", "stuffed"]
    assert "does not fit the context" in arms["stuffed"]["refused"]
    assert arms["hybrid"]["estimates"]["format_valid"]["value"] == 1.0
    assert arms["hybrid+schema"]["estimates"]["format_valid"]["value"] == 1.0
    assert arms["rag"]["estimates"]["cited_right"]["value"] == 1.0
    assert arms["base"]["estimates"]["cost"]["value"] < arms["rag"]["estimates"]["cost"]["value"]
    assert [arm["name"] for arm in general["arms"]] == ["general/base", "general/json-answer@1"]
    monkeypatch.setattr("trivet.cli.eval_run.ServerProcess", None)  # all is answered: nothing is started
    again = CliRunner().invoke(main, words, catch_exceptions=False)
    assert json.loads(again.stdout)["parts"] == [main_part, general]
