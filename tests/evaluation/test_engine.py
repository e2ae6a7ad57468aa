"""The command with a server of its own: real engine, real vector engine, the handbook's suite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.retrieval.exported_models import with_exports
from trivet.cli.main import main

ROOT = Path(__file__).parents[2]
ARMS = ("rag", "hybrid", "hybrid+schema", "stuffed")


def answers(data: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in data.glob("evals/handbook/*/results.jsonl"))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # not yet reaped, but gone


@pytest.mark.engine
@pytest.mark.timeout(400)  # two servers are started
def test_an_evaluation_that_is_killed_goes_on_with_another_server(
    tmp_path: Path, embedding_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_exports(tmp_path / "evals" / "server", embedding_cache)
    monkeypatch.chdir(ROOT)
    words = ["eval", "handbook", *(word for arm in ARMS for word in ("--arm", arm)), "--baseline", "base"]
    words += ["--limit", "6", "--data-dir", str(tmp_path), "--json"]
    process = subprocess.Popen([sys.executable, "-m", "trivet.cli", *words], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while answers(tmp_path) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = answers(tmp_path)
    assert 5 <= kept < 36
    server = json.loads((tmp_path / "evals" / "server" / "server.json").read_text())["pid"]
    while alive(server):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.01)
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert answers(tmp_path) == 36  # 4 arms and 2 general ones, 6 questions each
    main_part, general = json.loads(done.stdout)["parts"]
    arms = {arm["name"]: arm for arm in main_part["arms"]}
    assert list(arms) == ["base", "rag", "hybrid", "hybrid+schema", "stuffed"]
    assert "does not fit the context" in arms["stuffed"]["refused"]
    for name in ("hybrid", "hybrid+schema"):
        assert arms[name]["estimates"]["format_valid"]["value"] == 1.0
    assert arms["rag"]["estimates"]["cited_right"]["value"] == 1.0
    assert arms["base"]["estimates"]["cost"]["value"] < arms["rag"]["estimates"]["cost"]["value"]
    assert [arm["name"] for arm in general["arms"]] == ["general/base", "general/json-answer@1"]
    monkeypatch.setattr("trivet.cli.evaluation.run.ServerProcess", None)  # all is answered: nothing is started
    again = CliRunner().invoke(main, words, catch_exceptions=False)
    assert json.loads(again.stdout)["parts"] == [main_part, general]
