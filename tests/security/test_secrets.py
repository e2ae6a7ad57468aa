"""A key or secret that was put into a wrong place of a project is in nothing that Trivet says of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.support.engine.tiny_model import adapter_files, make_model
from trivet.cli.main import main
from trivet.testing.adapters import write_adapter

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

SECRETS = ("9f86d081884c7d659a2feaa0c55ad015", "Zk3vQ81bTq7LmX2cR9wN0aYd", "sk-proj-4eC39HqLyjWDarjtT1zdp7dc")
CONFIG: dict[str, Any] = {
    "version": 1,
    "server": {"listen": "127.0.0.1:0", "data_dir": "data", "tls": {"certificate": "c.pem", "key": "k.pem"}},
    "admission": {"max_running": 4},
    "keys": [{"name": "one", "sha256": "0" * 64, "tenant": "acme", "role": "client"}],
    "schemas": {"max_bytes": 1024},
    "backends": {
        "local": {
            "kind": "embedded", "model": "model", "dtype": "auto", "engine_args": {"seed": 1}, "hub_endpoint": "https://h",
            "restart": {"first_delay": 1},
        }
    },
    "prompts": "prompts",
    "adapters": ["adapters", {"name": "far", "version": "1", "from": "hub:org/name@main"}],
    "adapter_source": {"endpoint_url": "https://host", "region": "eu-1"},
    "indexes": {"notes": "notes"},
    "documents": {"processes": 1},
    "qdrant": {"url": "http://host:6333", "api_key_file": "qdrant.key"},
    "quotas": {"max_documents": 5, "tenants": {"acme": {"max_bytes": 100}}},
    "prices": {
        "local": {"input_per_million_tokens": 1, "cached_per_million_tokens": 1, "output_per_million_tokens": 1}
    },
    "routes": {
        "ask": {
            "salt": "ask", "cache": "tenant", "retrieval": {"deadline_ms": 150, "on_failure": "fail"},
            "variants": {
                "only": {
                    "weight": 1, "backend": "local", "prompt": "p@1", "adapter": "red@1",
                    "sampling": {"max_tokens": 10, "stop": ["x"]},
                    "retrieval": {
                        "index": "notes", "tags": ["a"], "confidence": {"below": 0.1, "answer": "No."},
                        "few_shot": {"index": "notes", "k": 1},
                    },
                    "json_schema": {"type": "object", "properties": {"a": {"type": "string", "format": "date"}}},
                }
            },
        }
    },
}  # fmt: skip
INDEX: dict[str, Any] = {
    "version": 1, "corpus": "corpus", "chunking": {"max_tokens": 100},
    "embedding": {"model": "hub:a/b", "precision": "int8"},
    "language": "english", "include": ["**/*.md"], "encoding": "utf-8", "rerank": {"model": "m"},
}  # fmt: skip
HEAD: dict[str, Any] = {"description": "About.", "variables": {"name": {"description": "Whose.", "default": "you"}}}
Place = tuple[str | int, ...]


def places(tree: Any, at: Place = ()) -> Iterator[Place]:
    """Where every value of a document stands, and those of its inner mappings and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


def with_value(tree: Any, place: Place, value: Any) -> Any:
    """A copy with another value there."""
    changed = copy.deepcopy(tree)
    _inner(changed, place)[place[-1]] = value
    return changed


def with_name(tree: Any, place: Place, name: str) -> Any:
    """A copy in which the value that stands there has another name."""
    changed = copy.deepcopy(tree)
    inner = _inner(changed, place)
    inner[name] = inner.pop(place[-1])
    return changed


def _inner(tree: Any, place: Place) -> Any:
    for part in place[:-1]:
        tree = tree[part]
    return tree


def put_in(tree: Any) -> Iterator[tuple[str, str, Any]]:
    """A secret, where it was put, and the document: in every place as a value, as a name, and by turns in a list, in a
    mapping, in a URL and before a reference's version; the secrets by turns."""
    for number, place in enumerate(places(tree)):
        secret = SECRETS[number % len(SECRETS)]
        said = ".".join(map(str, place))
        forms = ([secret], {secret: secret}, f"https://me:{secret}@host/x", f"{secret}@1")
        for value in (secret, forms[number % len(forms)]):
            yield secret, f"{said}: {value}", with_value(tree, place, value)
        if isinstance(place[-1], str):
            yield secret, f"{said} called {secret}", with_name(tree, place, secret)


def holds(said: str, secret: str) -> bool:
    """Whether the secret, or what is drawn of it, is in what was said."""
    return secret.rpartition("-")[2] in said


def dumped(tree: Any) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one of everything; what is missing of it is said, too."""
    make_model(tmp_path / "model")
    (tmp_path / "notes" / "corpus").mkdir(parents=True)
    write_adapter(tmp_path / "adapters" / "red" / "1", adapter_files(1))
    write(tmp_path, "trivet.yaml", CONFIG)
    write(tmp_path, "notes/index.yaml", INDEX)
    write(tmp_path, "prompts/p/1.md", HEAD)
    return tmp_path


def write(project: Path, name: str, tree: Any) -> None:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{dumped(tree)}---\nBe kind, {{{{name}}}}.\n" if path.suffix == ".md" else dumped(tree))


def told(project: Path, *command: str) -> str:
    """All that a command prints, its errors and what it logs included."""
    run = CliRunner().invoke(main, [*command, "--config", str(project / "trivet.yaml")])
    assert run.exception is None or isinstance(run.exception, SystemExit), run.exception
    return run.output


def files(project: Path) -> dict[str, Any]:
    """The documents that people write, by their path in the project."""
    adapter = "adapters/red/1/adapter.yaml"
    return {
        "trivet.yaml": CONFIG,
        "notes/index.yaml": INDEX,
        "prompts/p/1.md": HEAD,
        adapter: yaml.safe_load((project / adapter).read_text()),
    }


@pytest.mark.parametrize("name", ["trivet.yaml", "notes/index.yaml", "prompts/p/1.md", "adapters/red/1/adapter.yaml"])
def test_no_check_repeats_a_secret_wherever_it_stands(project: Path, name: str) -> None:
    """As text and as JSON by turns."""
    assert " problems found" in told(project, "check"), "a sound project would say nothing of what is in it"
    tree, leaks, tried = files(project)[name], [], 0
    for number, (secret, place, changed) in enumerate(put_in(tree)):
        write(project, name, changed)
        if holds(told(project, "check", *(["--json"] if number % 2 else [])), secret):
            leaks.append(place)
        tried += 1
    assert leaks == []
    assert tried > 5


def test_neither_a_start_nor_the_doctor_repeats_one(project: Path) -> None:
    """What keeps a server from starting, and the doctor that cannot read where the data folder is."""
    leaks = []
    commands = (["serve"], ["doctor"], ["doctor", "--json"])
    for number, (secret, place, changed) in enumerate(put_in(CONFIG)):
        write(project, "trivet.yaml", changed)
        said = told(project, *commands[number % 3])
        assert said
        if holds(said, secret):
            leaks.append(place)
    assert leaks == []


def test_names_and_paths_that_people_write_are_told(project: Path) -> None:
    """Else nothing would be leaked because nothing is said."""
    said = told(project, "check")
    for words in ("c.pem", "qdrant.key", "no cross-encoder in", "adapter_source.region"):
        assert words in said
    for place in (("prompts",), ("backends", "local", "model")):
        write(project, "trivet.yaml", with_value(CONFIG, place, "nowhere/at-all-2024"))
        assert "nowhere/at-all-2024" in told(project, "check")
