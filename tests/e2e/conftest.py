"""One real server for all end-to-end tests: the demo's configuration, model, adapters and index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.retrieval.exported_models import with_exports
from trivet.cli.demo.table import DemoTable
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.config import load_config

ROOT = Path(__file__).parents[2]
RAW = "  raw:\n    variants: {raw: {weight: 1, backend: local, prompt: raw@1}}\n"
REASONED = """
  reasoned:
    retrieval: {deadline_ms: 3000, on_failure: fail}
    variants:
      votes:
        weight: 1
        backend: local
        prompt: support@1
        retrieval: {index: handbook, top_k: 1}
        sampling: {max_tokens: 48, temperature: 0.7}
        reasoning:
          thought: {begin: "6", end: "me"}
          self_consistency: {samples: 5}
"""
# Each pair: the model asked to write a question anew, by a client and by a variant before it searches. Answers to
# follow-ups have one token, so that the others are the rewriting's.
FOLLOW_UPS = """\
  rewrite:
    variants:
      v: {weight: 1, backend: local, prompt: rewrite@1, sampling: {max_tokens: 24, stop: ["\\n"]}}
  rewrite-adapter:
    variants:
      v: {weight: 1, backend: local, prompt: rewrite@1, adapter: json-answer@1,
          sampling: {max_tokens: 24, stop: ["\\n"]}}
  follow-up:
    retrieval: {deadline_ms: 60000, on_failure: fail}
    variants:
      v: {weight: 1, backend: local, prompt: support@1, sampling: {max_tokens: 1},
          retrieval: {index: handbook, top_k: 1, rewrite: {prompt: rewrite@1, max_tokens: 24}}}
  follow-up-adapter:
    retrieval: {deadline_ms: 60000, on_failure: fail}
    variants:
      v: {weight: 1, backend: local, prompt: support-json@2, adapter: json-answer@1, sampling: {max_tokens: 1},
          retrieval: {index: handbook, top_k: 1, rewrite: {prompt: rewrite@1, max_tokens: 24, model: adapter}}}
  follow-up-short:
    retrieval: {deadline_ms: 60000, on_failure: fail}
    variants:
      v: {weight: 1, backend: local, prompt: support@1, sampling: {max_tokens: 1},
          retrieval: {index: handbook, top_k: 1, rewrite: {prompt: rewrite@1, max_tokens: 2}}}
  follow-up-late:
    retrieval: {deadline_ms: 60000, on_failure: fail}
    variants:
      v: {weight: 1, backend: local, prompt: support@1, sampling: {max_tokens: 1},
          retrieval: {index: handbook, top_k: 1, rewrite: {prompt: rewrite@1, max_tokens: 256, deadline_ms: 1}}}
"""
REWRITE = """\
Write the last question so that it can be understood without the conversation. Answer with the question alone.

<!-- user -->
Conversation:
User: Does the Orlo Hub have a display?
Assistant: Yes.

Last question: And what is its range?

<!-- assistant -->
What is the range of the Orlo Hub?
"""


@pytest.fixture(scope="session")
def served_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's configuration, with time for retrieval: these tests are not about speed. As in the demo, each arm of
    the handbook's suite has a route beside its own ones; and there are some that continue texts, answer five times and
    take a part of each for a thought, or write follow-up questions anew."""
    folder = tmp_path_factory.mktemp("config")
    for name in ("adapters", "evals", "indexes", "models"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    (folder / "prompts" / "raw").mkdir()
    (folder / "prompts" / "raw" / "1.md").write_text("---\nraw: true\n---\n")
    (folder / "prompts" / "rewrite").mkdir()
    (folder / "prompts" / "rewrite" / "1.md").write_text(REWRITE)
    text = (ROOT / "trivet.yaml").read_text()
    assert "deadline_ms: 150" in text
    text = text.replace("deadline_ms: 150", "deadline_ms: 3000")
    assert "  support-json:\n" in text
    text = text.replace("  support-json:\n", "  support-json:\n    allow: [tools]\n")
    text = text.replace("  support:\n", f"{RAW}{REASONED}{FOLLOW_UPS}  support:\n    allow: [n]\n")
    (folder / "trivet.yaml").write_text(text)
    return DemoTable(load_config(folder / "trivet.yaml")).server_config


@pytest.fixture(scope="session")
def server(
    served_config: Path, embedding_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A running server with its handbook index built."""
    data = with_exports(tmp_path_factory.mktemp("server"), embedding_cache)
    with ServerProcess(served_config, data) as process:
        with Client(process.target) as client:
            built = [event.built for event in client.build_index("handbook") if event.HasField("built")]
            assert built[0].documents > 40
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    """A client of it."""
    with Client(server.target, timeout=30) as open_client:
        yield open_client
