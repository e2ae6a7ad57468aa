"""One reading tells everything: no problem hides another, nothing is told that is not so, no secret is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trivet.config import Examined, Overrides, examine_config
from trivet.config.fields.patterns import WORDS
from trivet.config.schema import ConfigFile, IndexFile
from trivet.errors import ConfigError

BROKEN = """\
server:
  listen: 7600
  speed: 9
  metrics_listen: 0.0.0.0:99999
backends:
  local:
    kind: embedded
    model: nowhere
    max_loras: 0
  spare:
    kind: embedded
indexes:
  facts: facts
  notes: nothing
routes:
  support:
    variants:
      a:
        weight: 1
        backend: spare
        prompt: desk
      b:
        weight: 1
        backend: remote
        prompt: p@1
        retrieval: {index: fcts, topk: 2}
      b:
        weight: 1
        backend: local
        prompt: p@9
        retrieval: {index: facts, top_k: 0}
"""
TOLD = """\
2: server.listen: expected host:port, such as 127.0.0.1:7600, got 7600
3: server.speed: unknown field
4: server.metrics_listen: port 99999, expected 0 to 65535
8: backends.local.model: no model in
9: backends.local.max_loras: expected at least 1, got 0
10: backends.spare.model: required field is missing
14: indexes.notes: no index.yaml in
21: routes.support.variants.a.prompt: expected name@version, such as support@1, got 'desk'
27: routes.support.variants.b: given twice
30: routes.support.variants.b.prompt: no file
31: routes.support.variants.b.retrieval.top_k: expected at least 1, got 0
index.yaml:2: chunking.max_tokens: expected at least 16, got 8
index.yaml:3: corpus: no folder
"""


NO_OVERRIDES = Overrides()


def examined(folder: Path, text: str, overrides: Overrides = NO_OVERRIDES) -> Examined:
    (folder / "trivet.yaml").write_text(text)
    return examine_config(folder / "trivet.yaml", overrides)


def test_nothing_hides_anything_and_nothing_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "index.yaml").write_text("chunking:\n  max_tokens: 8\ncorpus: none\n")
    found = examined(tmp_path, BROKEN)
    assert found.config is not None
    told = [
        line.removeprefix(f"{tmp_path}/").removeprefix("facts/").removeprefix("trivet.yaml:") for line in found.problems
    ]
    expected = TOLD.splitlines()
    assert [line for line in expected if not any(one.startswith(line) for one in told)] == []
    assert [one for one in told if not any(one.startswith(line) for line in expected)] == []


def test_what_is_missing_at_the_top_hides_nothing(tmp_path: Path) -> None:
    found = examined(tmp_path, "backends:\n  local: {kind: embedded, model: nowhere}\n")
    assert [line.partition(": ")[2].partition(" in ")[0] for line in found.problems] == [
        "routes: required field is missing",
        "backends.local.model: no model",
    ]


def test_an_unknown_field_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (line,) = [line for line in examined(tmp_path, "serve: {}\n").problems if "unknown field" in line]
    assert line.endswith("serve: unknown field, did you mean server?")
    (line,) = [line for line in examined(tmp_path, "server: {xyz: 1}\n").problems if "unknown field" in line]
    assert "xyz: unknown field, expected one of: admin_listen, data_dir," in line


@pytest.mark.parametrize("text", ["", "- a\n", "hello\n"])
def test_a_file_without_any_field(tmp_path: Path, text: str) -> None:
    (line,) = examined(tmp_path, text).problems
    assert ":1: expected a mapping" in line


def test_a_wrong_option_is_blamed_on_the_option(tmp_path: Path) -> None:
    origins = {"listen": "--listen", "admin_listen": "TRIVET_ADMIN_LISTEN"}
    told = examined(tmp_path, BROKEN, Overrides(listen="here", admin_listen="0.0.0.0:1", origins=origins)).problems
    assert [line for line in told if line.startswith("--listen: expected host:port")]
    assert [line for line in told if line.startswith("TRIVET_ADMIN_LISTEN: 0.0.0.0:1 can be reached")]


@pytest.mark.parametrize(
    "text",
    [
        "keys: [{name: a, sha256: SECRET, tenant: t, role: client}]",
        "keys: SECRET",
        "keys: [SECRET]",
        "keys: [{name: SECRET@, sha256: 1, tenant: SECRET@, role: SECRET}]",
        "qdrant: {api_key_file: [SECRET], api_key: SECRET}",
        "qdrant: {url: 'https://me:SECRET@host/path'}",
        "adapter_source: {endpoint_url: 'https://me:SECRET@host'}",
        "adapters: ['https://me:SECRET@host/a', 'https://me:SECRET@host/a', 'ftp://me:SECRET@host/a']",
    ],
)
def test_secrets_are_not_repeated(tmp_path: Path, text: str) -> None:
    found = examined(tmp_path, f"{text}\n")
    assert len(found.problems) > 2  # those of backends and routes are there always
    assert "SECRET" not in "\n".join(found.problems)


@pytest.mark.parametrize("seed", [1 << 63, -(1 << 63) - 1])
def test_a_seed_has_64_bits(tmp_path: Path, seed: int) -> None:
    text = f"routes: {{a: {{variants: {{b: {{weight: 1, backend: c, prompt: p@1, sampling: {{seed: {seed}}}}}}}}}}}\n"
    told = "\n".join(examined(tmp_path, text).problems)
    assert "variants.b.sampling.seed: expected" in told


DRAWN = ["9f86d081884c7d659a2feaa0c55ad015", "Zk3vQ81bTq7LmX2cR9wN0aYd", "sk-proj-4eC39HqLyjWDarjtT1zdp7dc"]


@pytest.mark.parametrize("secret", DRAWN)
@pytest.mark.parametrize(
    "text",
    [
        "server: {listen: SECRET}",
        "server: {tls: SECRET}",
        "server: {drain_timeout: [SECRET]}",
        "SECRET: 1",
        "server: {SECRET: 1}",
        "routes: {SECRET: {variants: {a: {weight: 1, backend: SECRET, prompt: p@1}}}}",
        "indexes: {SECRET: facts}",
        "prices: {SECRET: {}}",
        "server: *SECRET",
        "server: {listen: SECRET",
        "SECRET: 1\nSECRET: 2",
    ],
)
def test_a_secret_in_a_wrong_place_is_not_repeated(tmp_path: Path, text: str, secret: str) -> None:
    try:
        told = examined(tmp_path, text.replace("SECRET", secret) + "\n").problems
    except ConfigError as error:
        told = (str(error),)
    assert told
    assert secret not in "\n".join(told)
    assert secret.rpartition("-")[2] not in "\n".join(told)


@pytest.mark.parametrize("name", ["handbook-2024-11-28-price-list", "customer_support_assistant_2", "q" * 40, "1" * 30])
def test_a_name_is_told_as_it_is(tmp_path: Path, name: str) -> None:
    assert name in "\n".join(examined(tmp_path, f"server: {{{name}: 1}}\n").problems)


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for inner in schema.values():
            yield from patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from patterns(inner)


def test_no_reader_is_shown_a_regular_expression() -> None:
    used = {pattern for model in (ConfigFile, IndexFile) for pattern in patterns(model.model_json_schema())}
    assert used - set(WORDS) == set()
