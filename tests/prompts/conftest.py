"""Model families, built once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine.chat_families import FAMILY_NAMES, Family, make_family


@pytest.fixture(scope="session")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family("chatml", tmp_path_factory.mktemp("chatml"))


@pytest.fixture(scope="session", params=FAMILY_NAMES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder: Path = tmp_path_factory.mktemp(request.param)
    return make_family(request.param, folder)
