"""What the configuration says of indexes reaches them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trivet.app.indexes import passage_cache
from trivet.config import load_config
from trivet.retrieval.embedding.cache import cache_key
from trivet.stores.data_folder import DataFolder

CONFIG = """
version: 1
server: {passage_cache_bytes: 1048576}
backends: {local: {kind: embedded, model: model}}
routes: {r: {variants: {only: {weight: 1, backend: local, prompt: p@1}}}}
"""


async def test_the_cache_of_passages_is_bounded_as_configured(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "trivet.yaml").write_text(CONFIG)
    folder = DataFolder.open(tmp_path / ".data")
    cache = passage_cache(load_config(tmp_path / "trivet.yaml"), folder)
    try:
        await cache.put_many({cache_key("model", str(n)): np.ones(384, np.float32) for n in range(1000)})
        assert 2**19 < await cache.used_bytes() < 2**20, "a thousand vectors take more"
    finally:
        await cache.close()
        folder.close()
