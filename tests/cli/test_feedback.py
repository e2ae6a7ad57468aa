"""`trivet feedback` against a gateway on a real listener."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from tests.support.gateway.harness import gateway, request
from trivet.cli.main import main


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, ["feedback", *arguments])


async def test_it_is_recorded(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        await served.stub.Generate(request(), metadata=[("x-request-id", "r1")])
        said = await run("r1", "--score", "0.5", "--comment", "fair", "--address", served.address)
        assert (said.exit_code, said.output) == (0, "recorded for request r1\n")
        said = await run("r1", "--score", "0", "--label", "wrong", "--json", "--address", served.address)
        assert json.loads(said.output) == {"request_id": "r1", "score": 0.0, "label": "wrong"}
        kept = await served.state.feedback("public", "r1")
        assert kept is not None
        assert (kept.score, kept.label, kept.comment) == (0.0, "wrong", "")
        said = await run("r2", "--score", "1", "--address", served.address)
        assert said.exit_code == 1
        assert "no receipt of request 'r2'" in said.output


async def test_wrong_usage() -> None:
    for arguments in (("r1",), ("r1", "--score", "1.5"), ("r1", "--score", "good")):
        said = await run(*arguments)
        assert said.exit_code == 2, arguments
