"""The embedding models that were exported before: an export takes half a minute."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def embedding_cache(pytestconfig: pytest.Config) -> Path:
    """Where the exported models are, kept between runs."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("embedding")


def with_exports(data: Path, embedding_cache: Path) -> Path:
    """A server's data folder that has them; it need not be there yet."""
    (data / "cache").mkdir(parents=True)
    (data / "cache" / "embedding").symlink_to(embedding_cache)
    return data
