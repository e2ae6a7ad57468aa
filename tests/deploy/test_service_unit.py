"""The systemd unit: systemd's own reading of it, and that it fits the server."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from trivet.cli.server.serve import serve
from trivet.config.schema.server import Server

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "trivet.service"


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.process
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_it(tmp_path: Path) -> None:
    program = shlex.split(service()["ExecStart"])[0]
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(program, "/bin/true"))  # it looks whether the program is there
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_gives_a_drain_its_time() -> None:
    assert int(service()["TimeoutStopSec"]) > Server().drain_timeout


def test_its_command_has_options_that_exist() -> None:
    given = {word for word in shlex.split(service()["ExecStart"])[2:] if word.startswith("--")}
    assert given == {"--config", "--data-dir"}
    assert given <= {option for parameter in serve.params for option in parameter.opts}


def test_it_reloads_by_the_signal_that_the_server_knows() -> None:
    assert service()["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service()["KillMode"] == "mixed"
