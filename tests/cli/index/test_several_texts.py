"""`trivet index search --also`: several texts in one search, of a running server and of a data folder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.gateway.index_gateway import INDEX, OPERATOR, index_gateway
from trivet.cli.main import main

pytestmark = pytest.mark.embedding

LAMP, BOAT = "How long is the warranty?", "What crosses the ocean?"
TEXTS = {
    "lamp": "The lamp has a warranty of thirty months.",
    "lamps": "The warranty of old lamps was twelve months.",
    "boat": "A boat sails across the sea.",
    "cake": "The cake is baked with butter and sugar.",
}


def search(*arguments: str, **env: str) -> Result:
    runner = CliRunner(env={"TRIVET_KEY": OPERATOR, **env})
    return runner.invoke(main, ["index", "search", INDEX, "--top-k", "2", "--json", *arguments])


def found(result: Result) -> set[str]:
    assert result.exit_code == 0, result.output
    return {one["document_id"] for one in json.loads(result.stdout)["citations"]}


async def test_other_texts_are_searched_with_too(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    corpus = tmp_path / INDEX / "corpus"

    def operate(address: str) -> None:
        for name, text in TEXTS.items():
            (corpus / f"{name}.md").write_text(text)
        env = {"TRIVET_ADDRESS": address, "TRIVET_ADMIN_ADDRESS": address}
        built = CliRunner(env={"TRIVET_KEY": OPERATOR, **env}).invoke(main, ["index", "build", INDEX])
        assert built.exit_code == 0, built.output
        assert found(search(LAMP, **env)) == {"lamp", "lamps"}
        assert found(search(LAMP, "--also", BOAT, "--also", "Which vessel sails?", **env)) >= {"boat"}
        refused = search(LAMP, *["--also", "a"] * 4, **env)
        assert refused.exit_code == 1
        assert "more_texts" in refused.stderr

    async with index_gateway(tmp_path, pytestconfig.cache.mkdir("embedding")) as gateway:
        await asyncio.to_thread(operate, gateway.address)

    offline = ["--offline", "--config", str(tmp_path / "trivet.yaml"), "--data-dir", str(tmp_path / "data")]
    assert found(await asyncio.to_thread(search, LAMP, *offline)) == {"lamp", "lamps"}
    assert found(await asyncio.to_thread(search, LAMP, "--also", BOAT, *offline)) >= {"boat"}
