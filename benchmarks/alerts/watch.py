"""A real Prometheus with the project's rules on a faster clock, a real Alertmanager, and who is told by it."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT
from tests.support.monitoring.alertmanager import ready, with_templates
from tests.support.prometheus import binaries, free_port, prometheus

FOLDER = ROOT / "deploy" / "prometheus"
SLOWER = {"TrivetEngineRestarting": 10.0}
"""How much faster the clock of these is: an engine cannot be started three times in the time that is left else."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\[|offset )(\d+)([smhd])")


@dataclass(frozen=True, slots=True)
class Note:
    """What a receiver was told, and when (of `time.monotonic`)."""

    at: float
    receiver: str
    alert: str
    labels: str
    status: str


@dataclass
class Watch:
    """Collects what is told."""

    notes: list[Note] = field(default_factory=list)

    def firing(self, alert: str, since: float) -> Note | None:
        """The first that it fires, from then on."""
        return next((note for note in self._of(alert, since) if note.status == "firing"), None)

    def resolved(self, alert: str, since: float) -> float | None:
        """When the last of those that fired had resolved; None while any fires."""
        state: dict[str, Note] = {}
        for note in self._of(alert, since):
            state[note.labels] = note
        over = bool(state) and all(note.status == "resolved" for note in state.values())
        return max(note.at for note in state.values()) if over else None

    def _of(self, alert: str, since: float) -> Iterator[Note]:
        return (note for note in list(self.notes) if note.alert == alert and note.at >= since)


@contextmanager
def watching(metrics_address: str, folder: Path, factor: float) -> Iterator[Watch]:
    """Prometheus and Alertmanager, both over the project's files."""
    watch = Watch()
    with _hook(watch) as hook, _alertmanager(folder, hook) as manager:
        (folder / "rules").mkdir()
        for path in sorted((FOLDER / "rules").glob("*.yml")):
            rules = yaml.safe_load(path.read_text())
            (folder / "rules" / path.name).write_text(yaml.safe_dump(faster(rules, factor)))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
            "scrape_configs": [{"job_name": "trivet", "static_configs": [{"targets": [metrics_address]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with prometheus(folder / "prometheus.yml", folder / "prometheus"):
            yield watch


def faster(rules: dict[str, Any], factor: float) -> dict[str, Any]:
    """The rules with every span of time shorter, evaluated every second. Thresholds stay as they are."""
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            by = min(factor, SLOWER.get(rule.get("alert", ""), factor))

            def shorter(found: re.Match[str], by: float = by) -> str:
                return found[1] + _span(int(found[2]) * _SECONDS[found[3]] / by)

            rule["expr"] = _DURATION.sub(shorter, rule["expr"])
            if "for" in rule:
                rule["for"] = _span(int(rule["for"][:-1]) * _SECONDS[rule["for"][-1]] / by)
    return rules


def _span(seconds: float) -> str:
    return f"{round(1000 * seconds)}ms"


@contextmanager
def _hook(watch: Watch) -> Iterator[str]:
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for one in told["alerts"]:
                labels = one["labels"]
                said = json.dumps(labels, sort_keys=True)
                note = Note(time.monotonic(), told["receiver"], labels["alertname"], said, one["status"])
                watch.notes.append(note)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not of interest."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _alertmanager(folder: Path, hook: str) -> Iterator[str]:
    config = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://{hook}/"}]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        *with_templates(), binaries() / "alertmanager", f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}", f"--web.listen-address={address}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (folder / "alertmanager.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not ready(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "alertmanager.log").read_text())
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)
