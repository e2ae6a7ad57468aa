"""The indexes of a data folder as the server opens them: real vector process, real embedding model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.recovery.index import CONFIG, DOCUMENTS, Opened
from trivet.app.indexes import own_indexes
from trivet.config import Config, load_config
from trivet.config.load import Overrides
from trivet.retrieval.service import IndexService


@pytest.fixture
def config_of(tmp_path: Path, pytestconfig: pytest.Config) -> Callable[[Path], Config]:
    """The configuration of an index `handbook` with six documents, for a data folder."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "index" / "corpus").mkdir(parents=True)
    (tmp_path / "index" / "index.yaml").write_text("version: 1\ncorpus: corpus\nembedding: {precision: int8}\n")
    for name, text in DOCUMENTS.items():
        (tmp_path / "index" / "corpus" / f"{name}.md").write_text(text)
    (tmp_path / "trivet.yaml").write_text(CONFIG)
    assert pytestconfig.cache is not None
    exported = pytestconfig.cache.mkdir("embedding")

    def config(root: Path) -> Config:
        if not (root / "cache" / "embedding").exists():
            (root / "cache").mkdir(parents=True, exist_ok=True)
            (root / "cache" / "embedding").symlink_to(exported)
        return load_config(tmp_path / "trivet.yaml", Overrides(data_dir=root))

    return config


@pytest.fixture
def opened(config_of: Callable[[Path], Config]) -> Opened:
    """Opens the indexes of a data folder, as `trivet index --offline` does."""

    @asynccontextmanager
    async def opened(root: Path) -> AsyncIterator[IndexService]:
        async with own_indexes(config_of(root)) as service:
            yield service

    return opened


@pytest.fixture
async def root(tmp_path: Path, opened: Opened) -> Path:
    """A data folder whose index was built and closed."""
    root = tmp_path / "data"
    async with opened(root) as service:
        async for _ in service.build("handbook"):
            pass
    return root
