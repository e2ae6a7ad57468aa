"""The `qdrant` section: what would not apply is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.config import load_config
from trivet.errors import ConfigError

_FILE = """
version: 1
backends:
  local: {kind: embedded, model: model}
routes:
  only:
    variants:
      only: {weight: 1, backend: local, prompt: p@1}
qdrant: %s
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that a configuration names."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "adapters").mkdir()
    return tmp_path


def write(folder: Path, qdrant: str) -> Path:
    """A configuration with this section."""
    (folder / "trivet.yaml").write_text(_FILE % qdrant)
    return folder / "trivet.yaml"


def test_a_cluster_is_described(folder: Path) -> None:
    section = "{url: 'https://qdrant.internal', replicas: 3, shards: 6, write_consistency: 2, quantization: int8}"
    qdrant = load_config(write(folder, section)).file.qdrant
    assert (qdrant.replicas, qdrant.shards, qdrant.write_consistency, qdrant.quantization) == (3, 6, 2, "int8")


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("{replicas: 2}", "qdrant.replicas: has no effect without qdrant.url"),
        ("{quantization: int8}", "qdrant.quantization: has no effect without qdrant.url"),
        ("{url: 'http://q', replicas: 2, write_consistency: 3}", "qdrant.write_consistency: more than the 2 replicas"),
        ("{url: 'http://q', quantization: int4}", "qdrant.quantization"),
        ("{url: 'http://q', shards: 0}", "qdrant.shards"),
        ("{url: 'http://q', api_key: secret}", "qdrant.api_key"),
    ],
)
def test_what_would_not_apply_is_refused(folder: Path, section: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(write(folder, section))
    assert any(problem in line for line in refused.value.problems), refused.value.problems
