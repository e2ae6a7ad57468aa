"""The base that is trained on, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine.training_base import make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("training") / "base")
