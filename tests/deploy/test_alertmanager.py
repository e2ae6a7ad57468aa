"""A real Alertmanager with the project's configuration: who hears of what, and what keeps quiet beside what."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.gateway.serving import until
from tests.support.monitoring.alertmanager import ready, with_templates
from tests.support.monitoring.queries import ROOT, of_rules
from tests.support.prometheus import binaries, free_port

pytestmark = pytest.mark.process

CONFIG = ROOT / "deploy" / "prometheus" / "alertmanager.yml"
SEVERITY = {rule.panel["alert"]: rule.panel["labels"]["severity"] for rule in of_rules() if "alert" in rule.panel}


@dataclass
class Told:
    """What receivers were told: (receiver, alert, status)."""

    address: str
    alertmanager: str = ""
    notes: set[tuple[str, str, str]] = field(default_factory=set)

    def fire(self, *alerts: str, over: bool = False, **labels: str) -> None:
        """As Prometheus posts them."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = [
            {
                "labels": {"alertname": name, "severity": SEVERITY[name], "job": "trivet", **labels},
                "annotations": {},
                **({"endsAt": now} if over else {}),
            }
            for name in alerts
        ]
        request = urllib.request.Request(
            f"http://{self.alertmanager}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Of an Alertmanager that waits for little, with a webhook for each receiver."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            note = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.notes |= {(note["receiver"], one["labels"]["alertname"], one["status"]) for one in note["alerts"]}
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not of interest."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    seen = Told(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    folder = tmp_path_factory.mktemp("alertmanager")
    config = yaml.safe_load(CONFIG.read_text())
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://{seen.address}/"}]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    seen.alertmanager = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        *with_templates(), binaries() / "alertmanager", f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder}", f"--web.listen-address={seen.alertmanager}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: ready(seen.alertmanager) or process.poll() is not None, 60)
        assert process.poll() is None, (folder / "log").read_text()
        yield seen
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()
        thread.join()


def test_each_severity_is_heard_by_its_receiver_and_so_is_the_end(told: Told) -> None:
    for name, receiver in (("TrivetStoreStale", "pages"), ("TrivetIndexLag", "tickets"), ("TrivetRolledBack", "notes")):
        told.fire(name)
        until(lambda name=name, to=receiver: (to, name, "firing") in told.notes, 30)  # type: ignore[misc]
        told.fire(name, over=True)
        until(lambda name=name, to=receiver: (to, name, "resolved") in told.notes, 30)  # type: ignore[misc]


def test_an_engine_that_is_down_explains_what_its_routes_do(told: Told) -> None:
    told.fire("TrivetEngineDown", backend="local")
    until(lambda: ("pages", "TrivetEngineDown", "firing") in told.notes, 30)
    told.fire("TrivetErrorBudgetBurn", route="support")
    told.fire("TrivetReceiptsLost")  # has nothing to do with it
    until(lambda: ("pages", "TrivetReceiptsLost", "firing") in told.notes, 30)
    assert not {note for note in told.notes if note[1] == "TrivetErrorBudgetBurn"}


def test_the_slow_alert_keeps_quiet_beside_the_fast_one_of_the_same_route(told: Told) -> None:
    told.fire("TrivetFirstTokenBudgetBurn", route="one", job="other")
    until(lambda: ("pages", "TrivetFirstTokenBudgetBurn", "firing") in told.notes, 30)
    told.fire("TrivetFirstTokenBudgetBurnSlow", route="one", job="other")
    told.fire("TrivetErrorBudgetBurnSlow", route="two", job="other")
    until(lambda: ("tickets", "TrivetErrorBudgetBurnSlow", "firing") in told.notes, 30)
    assert not {note for note in told.notes if note[1] == "TrivetFirstTokenBudgetBurnSlow"}
