"""The console of a server: a time and a level on each line, and no alarm about what was put right."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from trivet.cli.console.log import JsonLines
from trivet.cli.main import main

SCRIPT = """
import logging, multiprocessing, os, signal, sys, time
from trivet.cli.console.log import log_to_console

def killed(pipe):
    lock = multiprocessing.get_context("spawn").RLock()
    pipe.send(True)
    time.sleep(60)

if __name__ == "__main__":
    if sys.argv[1] != "plain":
        log_to_console(sys.argv[1])
    logging.getLogger("trivet.some.part").info("engine %s is ready", "local")
    logging.getLogger("other").info("chatter")
    logging.getLogger("other").warning("trouble")
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=killed, args=(theirs,))
    child.start()
    ours.recv()
    os.kill(child.pid, signal.SIGKILL)
    child.join()
"""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO   |WARNING) (.*)")


def output(tmp_path: Path, how: str) -> str:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, tmp_path / "script.py", how], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.process
def test_lines_have_time_and_level_and_a_killed_child_leaves_no_warning(tmp_path: Path) -> None:
    found = [LINE.fullmatch(line) for line in output(tmp_path, "text").splitlines()]
    assert [match and (match[1].strip(), match[2]) for match in found] == [
        ("INFO", "engine local is ready"),
        ("WARNING", "trouble"),
    ]


@pytest.mark.process
def test_without_it_there_would_be_one(tmp_path: Path) -> None:
    assert "leaked semaphore" in output(tmp_path, "plain")


@pytest.mark.process
def test_json_lines_say_the_same(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in output(tmp_path, "json").splitlines()]
    assert all(TIME.fullmatch(line.pop("time")) for line in lines)
    assert lines == [
        {"level": "INFO", "logger": "trivet.some.part", "message": "engine local is ready"},
        {"level": "WARNING", "logger": "other", "message": "trouble"},
    ]


def test_whatever_a_message_holds_an_event_is_one_line() -> None:
    try:
        raise ValueError("of\ntwo lines")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 0, 'said "%s"\n\u2028', ("yes",), sys.exc_info())
    line = JsonLines().format(record)
    assert len(line.splitlines()) == 1
    event = json.loads(line)
    assert event["message"] == 'said "yes"\n\u2028'
    assert event["traceback"].endswith("ValueError: of\ntwo lines")


def test_another_format_is_refused() -> None:
    done = CliRunner().invoke(main, ["serve"], env={"TRIVET_LOG_FORMAT": "xml"})
    assert done.exit_code == 2
    assert "TRIVET_LOG_FORMAT: expected text or json, got 'xml'" in done.output
