"""The server as images and manifests run it: a read-only root, user 10001, no capabilities, the first process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway.serving import until
from tests.support.retrieval.exported_models import with_exports
from trivet.api.v1 import inference_pb2
from trivet.client import Client, Target

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("contained.sh")
USER = 10001
NEEDED = ("unshare", "chroot", "setpriv", "mount")
START = 300.0  # seconds

Contained = tuple[Path, subprocess.Popen[str]]

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such a place"),
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}"),
]


def folders() -> set[str]:
    """What is read: Python, its environment, this checkout, and the one that is installed into the environment."""
    asked = [sys.executable, "-I", "-c", "import trivet; print(trivet.__path__[0])"]
    installed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return {sys.prefix, sys.base_prefix, str(ROOT), str(Path(installed).parents[1])}


@pytest.fixture(scope="module")
def contained(embedding_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    """The data folder, and what started the server."""
    folder = tmp_path_factory.mktemp("contained")
    data, root = folder / "data", folder / "root"
    root.mkdir()
    with_exports(data, embedding_cache)
    (data / "cache" / "embedding").unlink()  # the link leads out; its exports are written to by their user
    shutil.copytree(embedding_cache, data / "cache" / "embedding")
    for path in (data, *data.rglob("*")):
        os.chown(path, USER, USER)
    serve: list[str | Path] = [sys.executable, "-m", "trivet.cli", "serve", "--config", ROOT / "trivet.yaml"]
    serve += ["--data-dir", "/var/lib/trivet", "--log-format", "json"]
    for option in ("--listen", "--admin-listen", "--metrics-listen"):
        serve += [option, "127.0.0.1:0"]
    clean = ["env", "-i", f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", f"PYTHONPATH={ROOT / 'server'}"]
    clean += ["PYTHONDONTWRITEBYTECODE=1", "HOME=/var/lib/trivet", "OMP_NUM_THREADS=1"]
    read = " ".join(sorted(folders(), key=len))  # an outer one before what lies in it
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", SCRIPT, root, data, read, *clean, *serve],
            stdout=log, stderr=log, text=True, process_group=0, cwd="/",
        )  # fmt: skip
    try:
        ready = data / "server.json"
        until(lambda: ready.exists() or process.poll() is not None, START)
        assert ready.exists(), (folder / "log").read_text()[-4000:]
        yield data, process
    finally:
        process.kill()
        process.wait()


def test_it_serves_and_stops_in_order(contained: Contained) -> None:
    data, process = contained
    told = json.loads((data / "server.json").read_text())
    assert told["pid"] == 1
    with Client(Target(address=told["listen"], admin_address=told["admin_listen"]), timeout=60) as client:
        list(client.build_index("handbook"))
        message = inference_pb2.Message(role="user", content="What is the range of the Orlo Hub?")
        for route in ("support", "support-json"):
            answer = client.generate(inference_pb2.GenerateRequest(route=route, messages=[message]))
            assert "60 metres" in answer.text
    server = inside(process.pid)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{server}/status").read_text().splitlines())
    assert status["Uid"].split() == [str(USER)] * 4
    assert {status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    os.kill(server, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{server}").exists(), 60)
    assert process.wait(10) == 0


def test_its_log_is_json(contained: Contained) -> None:
    lines = (contained[0].parent / "log").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert any(event["message"].startswith("ready: clients") for event in events)
    assert {event["level"] for event in events} <= {"INFO", "WARNING"}


def inside(unshared: int) -> int:
    """The process, as seen from here, that is process 1 there."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        below = Path(f"/proc/{unshared}/task/{unshared}/children").read_text().split()
        if below:
            return int(below[0])
        time.sleep(0.05)
    raise AssertionError("it has ended")
