"""What a server of several processes is told, what it tells each, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trivet.app.processes import FrontEnd, front_end_config
from trivet.app.processes.front_ends import engine_settings
from trivet.config import Config, load_config, schema
from trivet.config.engine_node import load_engine_node
from trivet.errors import ConfigError

GOOD = """\
version: 1
server: {processes: 2, listen: "127.0.0.1:0", drain_timeout: 7}
state: {url: "postgresql://trivet@localhost/trivet"}
backends:
  local:
    kind: embedded
    model: base
    chat_template: template.jinja
    max_model_len: 512
    max_num_seqs: 4
    max_lora_rank: 8
    reasoning_parser: qwen3
    engine_args: {speculative_config: {method: draft_model, model: base, num_speculative_tokens: 2}}
  away: {kind: remote, model: base, enable_lora: false, nodes: {addresses: ["127.0.0.1:7610"]}}
routes:
  support:
    variants:
      a: {weight: 1, backend: local, prompt: p@1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "template.jinja").write_text("{{ messages }}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "index.yaml").write_text("{corpus: .}")
    return tmp_path


def load(folder: Path, text: str = GOOD) -> Config:
    (folder / "trivet.yaml").write_text(text)
    return load_config(folder / "trivet.yaml")


def test_a_front_end_asks_the_engine_process(folder: Path) -> None:
    told = FrontEnd(
        1, 3, str(folder / "data" / "processes" / "1"), {"listen": "127.0.0.1:5"}, {"local": "127.0.0.1:6"}, "/key"
    )
    told.write(folder / "told.json")
    front_end = FrontEnd.read(folder / "told.json")
    assert front_end == told
    assert [path.parent.name for path in front_end.receipts_beside] == ["0", "2"]
    config = load(folder)
    made = front_end_config(config, front_end)
    local = made.file.backends["local"]
    assert isinstance(local, schema.RemoteBackend)
    assert (local.nodes.addresses, local.key_file, local.max_model_len) == (["127.0.0.1:6"], "/key", 512)
    assert (local.max_lora_rank, local.chat_template) == (8, "template.jinja")
    assert made.model_folder("local") == folder / "base"
    assert made.file.backends["away"] == config.file.backends["away"]
    assert (made.file.server.listen, made.file.server.metrics_listen) == ("127.0.0.1:5", "127.0.0.1:0")
    assert made.data_dir == folder / "data" / "processes" / "1"


def test_an_engine_process_is_an_engine_node(folder: Path) -> None:
    """Its file is read as any `engine.yaml`, from another folder."""
    settings = engine_settings(load(folder), "local", "127.0.0.1:6", "a" * 64, 100)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "engine.yaml").write_text(yaml.safe_dump(settings))
    node = load_engine_node(folder / "elsewhere" / "engine.yaml")
    assert (node.file.name, node.file.listen, node.file.max_requests) == ("local", "127.0.0.1:6", 100)
    assert (node.engine.max_num_seqs, node.engine.reasoning_parser) == (4, "qwen3")
    assert node.parts.model_folder("local") == folder / "base"
    assert node.engine.engine_args["speculative_config"]["model"] == str(folder / "base")
    assert [key.sha256 for key in node.file.keys] == ["a" * 64]
    assert node.parts.adapter_roots == (folder / "adapters",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('state: {url: "postgresql://trivet@localhost/trivet"}\n', "", "postgresql:// URL in state.url"),
        ("routes:", "indexes: {facts: index}\nroutes:", "expected qdrant.url"),
        ("routes:", "machines: {local: {usd_per_hour: 1}}\nroutes:", "expected prices"),
        ("prompt: p@1", "prompt: p@1, adapter: {by: request, from: ['x@*'], fallback: base}", "server.processes: 1"),
    ],
)
def test_what_processes_cannot_share_is_refused(folder: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=expected):
        load(folder, GOOD.replace(old, new))
