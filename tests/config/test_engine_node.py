"""`engine.yaml`, and what a backend of kind `remote` may be: read whole, refused with line and field."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.pages.markdown_pages import ROOT, Page
from trivet.config import Overrides, load_config
from trivet.config.engine_node import EngineOverrides, load_engine_node
from trivet.config.schema import EmbeddedBackend, EngineFile, RemoteBackend
from trivet.errors import ConfigError

NODE = """\
name: gpu-1
engine: {kind: embedded, model: base, max_cpu_loras: 4}
adapters: [adapters]
"""
GATEWAY = """\
backends:
  gpus:
    kind: remote
    model: base
    nodes: {addresses: ["127.0.0.1:7610"]}
routes:
  support:
    variants:
      a: {weight: 1, backend: gpus, prompt: p@1, adapter: lora@2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "base" / "model.safetensors").touch()
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "adapters" / "lora" / "2").mkdir(parents=True)
    return tmp_path


def refused(folder: Path, text: str, *, gateway: bool = False) -> list[str]:
    path = folder / ("trivet.yaml" if gateway else "engine.yaml")
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path) if gateway else load_engine_node(path)
    return [line.removeprefix(f"{path}:") for line in error.value.problems]


def test_the_example_of_a_plugin_is_one(tmp_path: Path) -> None:
    example = tmp_path / "example"
    shutil.copytree(ROOT / "examples" / "vllm-plugin", example)
    (example / "adapters").mkdir()
    model = ROOT / "models" / "demo" / "weights"
    node = load_engine_node(example / "engine.yaml", engine=EmbeddedBackend(kind="embedded", model=str(model)))
    gateway = example / "trivet.yaml"
    gateway.write_text(gateway.read_text().replace("/models/base", str(model)))
    backend = load_config(gateway).file.backends["plugged"]
    assert isinstance(backend, RemoteBackend)
    assert backend.nodes.addresses == [node.file.listen]


def test_a_node_is_what_its_file_says(folder: Path) -> None:
    (folder / "engine.yaml").write_text(NODE)
    config = load_engine_node(folder / "engine.yaml", EngineOverrides(listen="127.0.0.1:0"))
    assert config.file.listen == "127.0.0.1:0"
    assert config.data_dir == folder / ".engine"
    assert config.parts.model_folder("gpu-1") == folder / "base"
    assert config.parts.adapter_roots == (folder / "adapters",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("max_cpu_loras: 4", "max_cpu_loras: 1", "2: engine.max_cpu_loras: expected at least max_loras (2)"),
        ("kind: embedded", "kind: remote", "2: engine.kind: expected 'embedded', got 'remote'"),
        ("name: gpu-1", "nome: gpu-1", "1: nome: unknown field, did you mean name?"),
        ("model: base", "model: none", "2: engine.model: no model in"),
    ],
)
def test_a_node_is_refused_with_line_and_field(folder: Path, old: str, new: str, told: str) -> None:
    assert any(line.startswith(told) for line in refused(folder, NODE.replace(old, new)))


def test_a_node_without_an_engine_is_a_plugin(folder: Path) -> None:
    without = NODE.replace("engine: {kind: embedded, model: base, max_cpu_loras: 4}\n", "")
    assert refused(folder, without) == ["1: engine: required field is missing"]
    engine = EmbeddedBackend(kind="embedded", model=str(folder / "base"))
    assert load_engine_node(folder / "engine.yaml", engine=engine).parts.file.backends["gpu-1"] == engine
    (folder / "engine.yaml").write_text(NODE)
    with pytest.raises(ConfigError, match="engine: has no effect: the engine is the server's own"):
        load_engine_node(folder / "engine.yaml", engine=engine)


def test_a_node_is_not_open_to_other_machines(folder: Path) -> None:
    text = NODE + "listen: 0.0.0.0:7610\n"
    assert refused(folder, text)[0].startswith("4: listen: 0.0.0.0:7610 can be reached from other machines")
    keys = f"keys: [{{name: gateway, sha256: {'a' * 64}}}]\n"
    assert "expected tls" in refused(folder, text + keys)[0], "a key would cross the network in the clear"
    load_engine_node(folder / "engine.yaml", EngineOverrides(insecure=True))


def test_a_fleet_is_what_the_file_says(folder: Path) -> None:
    (folder / "trivet.yaml").write_text(GATEWAY)
    assert load_config(folder / "trivet.yaml").file.backends["gpus"].kind == "remote"
    distant = GATEWAY.replace("127.0.0.1", "10.0.0.1")
    assert refused(folder, distant, gateway=True) == [
        "5: backends.gpus.nodes: is on other machines, which all prompts go to: expected tls, and in it a certificate, "
        "or a key_file beside it (or --insecure)"
    ]
    load_config(folder / "trivet.yaml", Overrides(insecure=True))


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ("nodes: {}", "5: backends.gpus.nodes: expected one of addresses, dns, kubernetes and ray"),
        ("nodes: {addresses: ['a:1', 'a:1']}", "5: backends.gpus.nodes.addresses.1: a:1 is given twice"),
        ("nodes: {dns: 'a:1'}\n    lost_after: 1", "6: backends.gpus.lost_after: expected at least 2 heartbeats (2 s)"),
        (
            "nodes: {kubernetes: {service: engines, ca_file: none}}",
            "5: backends.gpus.nodes.kubernetes.ca_file: no file",
        ),
        ("nodes: {ray: {}, dns: 'a:1'}", "5: backends.gpus.nodes: expected one of addresses, dns, kubernetes and ray"),
        ("nodes: {ray: {address: 'ray://a:1'}}", "5: backends.gpus.nodes.ray.address: expected auto, or host:port"),
        ("nodes: {dns: 'a:1'}\n    max_num_seqs: 4", "6: backends.gpus.max_num_seqs: unknown field"),
        ("nodes: {dns: 'a:1'}\n    key_file: none", "6: backends.gpus.key_file: no file"),
    ],
)
def test_a_fleet_is_refused_with_line_and_field(folder: Path, new: str, told: str) -> None:
    text = re.sub(r"nodes: .*", lambda _: new, GATEWAY)
    assert any(line.startswith(told) for line in refused(folder, text, gateway=True)), refused(
        folder, text, gateway=True
    )


def test_a_gateway_needs_the_weights_for_its_checks_of_adapters(folder: Path) -> None:
    (folder / "base" / "model.safetensors").unlink()
    assert (
        "expected them, for the checks of adapters, or enable_lora: false" in refused(folder, GATEWAY, gateway=True)[0]
    )
    plain = GATEWAY.replace("    model: base", "    model: base\n    enable_lora: false").replace(
        ", adapter: lora@2", ""
    )
    (folder / "trivet.yaml").write_text(plain)
    load_config(folder / "trivet.yaml")


def test_the_machines_of_nodes_are_the_nodes_own(folder: Path) -> None:
    text = GATEWAY + "machines: {gpus: {usd_per_hour: 2.0}}\n"
    assert "or machine in the engine.yaml of each node" in refused(folder, text, gateway=True)[0]


def test_every_field_of_a_node_has_a_line() -> None:
    lines = {
        c[0].strip("`"): c[1]
        for h, c in Page(ROOT / "docs" / "fleet.md").rows()
        if h == "`engine.yaml`" and "`" in c[0]
    }
    assert set(lines) == set(EngineFile.model_fields)
    assert lines["listen"].strip("`") == EngineFile.model_fields["listen"].default
