"""Backends of kind `openai`: what is refused, for it would silently not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.config import Config, load_config
from trivet.errors import ConfigError

GOOD = """\
version: 1
backends:
  api:
    kind: openai
    model: base
    url: https://api.example/v1
    served_model: large
    max_model_len: 4096
routes:
  support:
    variants:
      a: {weight: 1, backend: api, prompt: p@1}
"""
KEYS = "".join(
    f"  - {{name: k{one}, sha256: '{one * 64}', tenant: t{one}, role: client}}\n" for one in ("a", "b")
)  # fmt: skip
TWO_TENANTS = GOOD + f"keys:\n{KEYS}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "key").write_text("sk-one\n")
    (tmp_path / "adapters" / "x" / "1").mkdir(parents=True)
    return tmp_path


def load(folder: Path, text: str = GOOD) -> Config:
    (folder / "trivet.yaml").write_text(text)
    return load_config(folder / "trivet.yaml")


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    return text.replace(old, new)


def test_keys_come_from_a_file_or_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(folder).backend_key("api") is None
    with_file = load(folder, changed("    url:", "    key_file: key\n    url:"))
    assert with_file.backend_key("api") == "sk-one"
    (folder / "key").write_text("sk-two")
    assert with_file.backend_key("api") == "sk-two"
    (folder / "key").write_text("two\nlines")
    with pytest.raises(ValueError, match="printable"):
        with_file.backend_key("api")
    with_variable = load(folder, changed("    url:", "    key_env: A_KEY\n    url:"))
    with pytest.raises(ValueError, match="empty"):
        with_variable.backend_key("api")
    monkeypatch.setenv("A_KEY", "sk-three")
    assert with_variable.backend_key("api") == "sk-three"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("https://api.example/v1", "http://api.example/v1", "in clear"),
        ("https://api.example/v1", "https://api.example/v1/", "no '/' at the end"),
        ("    max_model_len: 4096\n", "", "required unless token_ids: true"),
        ("    url:", "    key_file: none\n    url:", "no file"),
        ("    url:", "    key_file: key\n    key_env: A\n    url:", "beside key_file"),
        ("    url:", "    extra_body: {top_k: 3}\n    url:", "leave it out"),
        ("    url:", "    extra_body: {when: 2024-01-01}\n    url:", "what JSON can say"),
        ("    url:", "    enable_lora: true\n    url:", "enable_lora"),
        ("    url:", "    token_ids: true\n    limit_field: max_completion_tokens\n    url:", "has no effect"),
        ("prompt: p@1", "prompt: p@1, adapter: x@1", "served_model"),
        ("prompt: p@1", "prompt: p@1, sampling: {top_k: 4}", "token_ids: true"),
        ("prompt: p@1", "prompt: p@1, sampling: {max_reasoning_tokens: 4}", "not offered"),
        ("prompt: p@1", "prompt: p@1, template_variables: {x: true}", "token_ids: true"),
        ("    variants:", "    allow: [tools]\n    variants:", "not offered"),
        ("    variants:", "    allow: [min_p]\n    variants:", "token_ids: true"),
        ("    variants:", "    cache: tenant\n    variants:", "keep the caches of tenants apart"),
        ("routes:", "machines:\n  api: {usd_per_hour: 1}\nroutes:", "expected prices"),
    ],
)
def test_what_would_not_hold_is_refused(folder: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as refused:
        load(folder, changed(old, new))
    assert len(refused.value.problems) == 1, refused.value.problems


def test_with_ids_most_of_it_holds(folder: Path) -> None:
    text = changed("    max_model_len: 4096\n", "    token_ids: true\n", TWO_TENANTS)
    text = changed("prompt: p@1", "prompt: p@1, sampling: {top_k: 4}", text)
    assert load(folder, changed("    variants:", "    allow: [min_p]\n    variants:", text)).file.backends["api"]


def test_several_tenants_share_a_cache_knowingly(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cache: shared, which says so"):
        load(folder, TWO_TENANTS)
    assert load(folder, changed("    variants:", "    cache: shared\n    variants:", TWO_TENANTS))
