"""deploy/compose/fleet.yaml over compose.yaml: Docker Compose's own reading of both, and that they fit together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trivet.config import Overrides, load_config
from trivet.config.engine_node import EngineOverrides, load_engine_node

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
GATEWAYS = ("gateway", "gateway-2")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose = Path(sys.executable).parent / "docker-compose"
    command: list[str | Path] = [compose, "-f", FOLDER / "compose.yaml", "-f", FOLDER / "fleet.yaml"]
    done = subprocess.run(
        [*command, "config", "--format", "json"], capture_output=True, text=True, env={**os.environ, "HOME": "/none"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    project: dict[str, Any] = json.loads(done.stdout)
    assert project["networks"]["engines"]["internal"] is True
    found: dict[str, Any] = project["services"]
    return found


@pytest.mark.process
def test_engines_are_hardened_and_reached_by_gateways_alone(services: dict[str, Any]) -> None:
    engine = services["engine"]
    assert (engine["read_only"], engine["cap_drop"]) == (True, ["ALL"])
    assert engine["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} <= set(engine["deploy"]["resources"]["limits"])
    assert engine["healthcheck"]["test"]
    assert "ports" not in engine
    assert {name for name, one in services.items() if "engines" in one["networks"]} == {*GATEWAYS, "engine"}


@pytest.mark.process
def test_the_two_gateways_differ_in_ports_and_folder_alone(services: dict[str, Any]) -> None:
    first, second = (services[name] for name in GATEWAYS)
    different = {key for key in {*first, *second} if first.get(key) != second.get(key)}
    assert different <= {"ports", "volumes", "build"}
    assert not {p["published"] for p in first["ports"]} & {p["published"] for p in second["ports"]}
    assert {port["host_ip"] for port in (*first["ports"], *second["ports"])} == {"127.0.0.1"}
    data = [[v["source"] for v in one["volumes"] if v["target"] == "/var/lib/trivet"] for one in (first, second)]
    assert data == [["data"], ["data-2"]]


def mounted(service: dict[str, Any], folder: Path) -> Path:
    """/etc/trivet of a container, made of what is mounted into it."""
    for volume in service["volumes"]:
        if volume["type"] == "bind" and volume["target"].startswith("/etc/trivet/"):
            inside = folder / volume["target"].removeprefix("/etc/trivet/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.symlink_to(volume["source"])
    return folder


@pytest.mark.process
@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_finds_the_engines(services: dict[str, Any], name: str, tmp_path: Path) -> None:
    folder = mounted(services[name], tmp_path)
    (folder / "password").write_text("secret")
    text = (folder / "trivet.yaml").read_text().replace("/run/secrets/state-password", "password")
    (folder / "here.yaml").write_text(text)
    config = load_config(folder / "here.yaml", Overrides(insecure=True))
    backend = config.file.backends["engines"]
    assert backend.kind == "remote"
    assert backend.nodes.dns == "engine:7610"
    assert set(config.file.routes) == set(yaml.safe_load((FOLDER / "trivet.yaml").read_text())["routes"])


@pytest.mark.process
def test_an_engine_serves_where_it_is_looked_for(services: dict[str, Any], tmp_path: Path) -> None:
    folder = mounted(services["engine"], tmp_path)
    (folder / "here.yaml").write_text((folder / "engine.yaml").read_text())  # beside what is mounted
    config = load_engine_node(folder / "here.yaml", EngineOverrides(insecure=True))
    assert (config.file.listen, config.file.metrics_listen) == ("0.0.0.0:7610", "0.0.0.0:7612")
    grace = services["engine"]["stop_grace_period"]
    assert grace == "1m0s"
    assert config.file.stop_notice + config.file.drain_timeout < 60
    assert f'backend="{config.file.name}"' in " ".join(services["engine"]["healthcheck"]["test"]).replace("\\", "")
    scraped = yaml.safe_load((FOLDER / "fleet" / "prometheus.yml").read_text())["scrape_configs"]
    [engines] = [job for job in scraped if job["job_name"] == "engines"]
    assert engines["dns_sd_configs"] == [{"names": ["engine"], "type": "A", "port": 7612}]
