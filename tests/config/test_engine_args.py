"""`engine_args` and the settings beside them: what is refused, where, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.app.backend import embedded_section
from trivet.config import Config, load_config
from trivet.errors import ConfigError

FILE = """\
version: 1
server: {{data_dir: data}}
backends:
  base:
    kind: embedded
    model: {model}
    {lines}
routes:
  support:
    variants:
      a: {{weight: 1, backend: base, prompt: p@1}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for model in ("base", "draft"):
        (tmp_path / model).mkdir()
        (tmp_path / model / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    return tmp_path


def load(folder: Path, lines: str = "", model: str = "base") -> Config:
    (folder / "trivet.yaml").write_text(FILE.format(model=model, lines=lines))
    return load_config(folder / "trivet.yaml")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "engine_args: {quantisation: awq}",
            "quantisation: quantisation is not an engine argument of vLLM; did you mean ",
        ),
        ("engine_args: {max-num-batched-tokens: 5}", "did you mean max_num_batched_tokens"),
        ("engine_args: {frobnicate: 1}", "frobnicate is not an engine argument of vLLM; docs/models.md lists those"),
        ("engine_args: {tensor_parallel_size: 2}", "is a setting of its own: write it one level up, as backends"),
        ("engine_args: {load_format: pt}", "load_format is not taken: Trivet loads safetensors only"),
        ("engine_args: {seed: 1}", r"set routes.<r>.variants.<v>.sampling.seed instead"),
        ("engine_args: {data_parallel_size: 2}", "each rank has a prefix cache of its own"),
        ("engine_args: {enable_prefix_caching: false}", "prefix caching is always on"),
        ("engine_args: {prefix_caching_hash_algo: xxhash}", "weaker hashes may collide"),
        ("engine_args: {worker_cls: x.Y}", "in processes that Trivet watches"),
        ("engine_args: {logits_processors: [x.Y]}", "it would run code from outside"),
        ("engine_args: {kv_transfer_config: {}}", "an engine's KV cache is its own"),
        ("engine_args: {device_ids: [0, 1]}", "device_ids: names 2 GPUs, expected 1, as tensor_parallel_size times"),
        ("engine_args: {speculative_config: {model: none}}", "speculative_config.model: no model in 'none', expected"),
        (
            "engine_args: {speculative_config: {model: draft, draft_load_config: {load_format: pt}}}",
            "speculative_config.draft_load_config: draft_load_config is not taken: Trivet loads safetensors only",
        ),
        ("chat_template: none.jinja", "chat_template: no file "),
        ("tensor_parallel_size: 0", "tensor_parallel_size: "),
        ("hub_endpoint: http://127.0.0.1:1", "hub_endpoint: has no effect unless model begins with hub:"),
    ],
)
def test_it_is_refused(folder: Path, lines: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder, lines)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{folder / 'trivet.yaml'}:7: backends.base.")
    assert expected in problem


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("hub:acme", "expected a folder, or hub:organisation/name"),
        ("hub:acme/../x", "expected a folder, or hub:organisation/name"),
        ("acme/tiny", "(expected a config.json); for a model of the hub write hub:acme/tiny"),
        ("nowhere", "(expected a config.json)"),
    ],
)
def test_a_model_that_is_none(folder: Path, model: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder, model=model)
    assert refused.value.problems[0].startswith(f"{folder / 'trivet.yaml'}:6: backends.base.model: ")
    assert expected in refused.value.problems[0]


def test_what_is_right(folder: Path) -> None:
    lines = """tensor_parallel_size: 2
    chat_template: chat.jinja
    engine_args:
      device_ids: [2, 3]
      quantization: fp8
      speculative_config: {model: draft, num_speculative_tokens: 3}"""
    config = load(folder, lines)
    assert embedded_section(config, "base").engine_args["quantization"] == "fp8"
    assert config.chat_template("base") == folder / "chat.jinja"
    assert config.model_folder("base") == folder / "base"


def test_the_folder_of_a_hub_model_follows_from_its_name(folder: Path) -> None:
    place = folder / "data" / "models"
    assert load(folder, model="hub:acme/tiny").model_folder("base") == place / "acme--tiny@main"
    assert load(folder, model="hub:acme/tiny@v2").model_folder("base") == place / "acme--tiny@v2"
    trusted = load(folder, "trust_remote_code: true", "hub:acme/tiny")
    assert trusted.model_folder("base") == place / "acme--tiny@main+code"


def test_backends_on_gpus_of_their_own_may_each_take_most_of_one(folder: Path) -> None:
    two = """gpu_memory_utilization: 0.9
    engine_args: {device_ids: [0]}
  other:
    kind: embedded
    model: base
    enable_lora: false
    gpu_memory_utilization: 0.8
    engine_args: {device_ids: [%d]}"""
    load(folder, two % 1)
    with pytest.raises(ConfigError, match=r"adds up to 1\.7, expected at most 1 \(GPU 0; device_ids"):
        load(folder, two % 0)
