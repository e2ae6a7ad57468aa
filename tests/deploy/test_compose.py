"""deploy/compose: Docker Compose's own reading of it, and what each service may do."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trivet.config import load_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
NAMES = sorted(SERVICES)


@pytest.fixture(scope="module")
def read() -> dict[str, Any]:
    """The whole project as Docker Compose understands it: anchors and defaults put in."""
    compose = Path(sys.executable).parent / "docker-compose"
    command: list[str | Path] = [compose, "-f", FOLDER / "compose.yaml", "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    project: dict[str, Any] = json.loads(done.stdout)
    return project


@pytest.mark.process
def test_compose_reads_it(read: dict[str, Any]) -> None:
    assert set(read["services"]) == {"alertmanager", "gateway", "grafana", "postgres", "prometheus", "qdrant"}


@pytest.mark.process
@pytest.mark.parametrize("name", NAMES)
def test_every_service_is_hardened_bounded_and_looked_after(read: dict[str, Any], name: str) -> None:
    service = read["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert service["healthcheck"]["test"]
    assert service["logging"]["options"]["max-size"]
    assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}
    assert "privileged" not in service
    assert not service["image"].endswith(":latest")
    assert ":" in service["image"]


@pytest.mark.process
def test_what_is_mounted_is_in_the_repository(read: dict[str, Any]) -> None:
    binds = [
        volume for service in read["services"].values() for volume in service["volumes"] if volume["type"] == "bind"
    ]
    assert len(binds) > 8
    assert [volume["source"] for volume in binds if not Path(volume["source"]).exists()] == []
    assert [volume["source"] for volume in binds if not volume.get("read_only")] == []


@pytest.mark.process
def test_stores_are_reached_by_the_gateway_alone(read: dict[str, Any]) -> None:
    assert read["networks"]["stores"]["internal"] is True
    within = {name for name, service in read["services"].items() if "stores" in service["networks"]}
    assert within == {"gateway", "postgres", "qdrant"}
    assert [name for name in ("postgres", "qdrant") if "ports" in read["services"][name]] == []


def test_the_grace_is_longer_than_a_drain(tmp_path: Path) -> None:
    config = gateway_config(tmp_path)
    assert int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s")) > config.file.server.drain_timeout


def test_the_gateways_configuration_is_sound_where_it_is_mounted(tmp_path: Path) -> None:
    config = gateway_config(tmp_path)
    assert config.file.qdrant.url == "http://qdrant"
    assert config.file.state.url == "postgresql://trivet@postgres:5432/trivet"
    assert set(config.file.routes) == {"support", "support-json"}


def gateway_config(folder: Path) -> Any:
    """/etc/trivet of the container, made of what is mounted into it; the password's file elsewhere."""
    for volume in SERVICES["gateway"]["volumes"]:
        source, target, *_ = volume.split(":")
        if target.startswith("/etc/trivet/"):
            inside = folder / target.removeprefix("/etc/trivet/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.symlink_to((FOLDER / source).resolve())
    (folder / "password").write_text("secret")
    text = (folder / "trivet.yaml").read_text()
    (folder / "here.yaml").write_text(text.replace("/run/secrets/state-password", "password"))
    return load_config(folder / "here.yaml")


@pytest.mark.process
def test_secrets_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    script = Path(shutil.copy(FOLDER / "secrets.sh", tmp_path))
    found = []
    for _ in range(2):
        subprocess.run([script], check=True)
        found.append({file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()})
    assert found[0] == found[1]
    wanted = {secret["file"] for secret in yaml.safe_load((FOLDER / "compose.yaml").read_text())["secrets"].values()}
    assert {f"secrets/{name}" for name in found[0]} == wanted
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in found[0].values())
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_git_ignores_the_secrets() -> None:
    assert "/deploy/compose/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
