"""Building anew and going back, as an operator calls it, and without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.gateway.index_gateway import CLIENT, INDEX, index_gateway
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.index.offline import OfflineIndexes
from trivet.client import CallFailed, Client
from trivet.config import Overrides, load_config

pytestmark = pytest.mark.embedding


def built(client: Client | OfflineIndexes, *, rebuild: bool = False) -> tuple[set[str], admin_pb2.Index]:
    """The stages that were reported, and the index."""
    events = list(client.build_index(INDEX, rebuild))
    return {event.progress.stage for event in events if event.HasField("progress")}, events[-1].built


def found(client: Client | OfflineIndexes, text: str) -> list[str]:
    response = client.retrieve(inference_pb2.RetrieveRequest(index=INDEX, text=text, top_k=5))
    return [citation.text for citation in response.citations]


async def test_a_new_snapshot_and_back(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    async with index_gateway(tmp_path, pytestconfig.cache.mkdir("embedding")) as gateway:
        corpus = tmp_path / INDEX / "corpus"
        (corpus / "a.md").write_text("The boat leaves at nine.")

        def operate() -> None:
            with Client(gateway.target(), timeout=60) as client:
                stages, first = built(client)
                assert stages == {"scan", "read", "embed"}
                assert not first.retained_snapshots
                stages, second = built(client, rebuild=True)
                assert stages == {"scan", "read", "write", "optimise", "check", "swap"}
                assert (second.snapshot, list(second.retained_snapshots)) == (f"{first.snapshot}-2", [first.snapshot])
                (corpus / "a.md").write_text("The boat leaves at ten.")
                built(client)
                back = client.rollback_index(INDEX, "", "to see whether it works").index
                assert (back.snapshot, list(back.retained_snapshots)) == (first.snapshot, [second.snapshot])
                assert found(client, "when does the ship sail") == ["The boat leaves at ten."]
                with pytest.raises(CallFailed, match="NOT_FOUND"):
                    client.rollback_index(INDEX, "nothing", "")
            with Client(gateway.target(CLIENT)) as client, pytest.raises(CallFailed, match="PERMISSION_DENIED"):
                client.rollback_index(INDEX, "", "")

        await asyncio.to_thread(operate)

    def offline() -> None:
        with OfflineIndexes(load_config(tmp_path / "trivet.yaml", Overrides(data_dir=tmp_path / "data"))) as indexes:
            (index,) = indexes.list_indexes().indexes
            assert len(index.retained_snapshots) == 1
            assert indexes.rollback_index(INDEX, "", "").index.snapshot == index.retained_snapshots[0]
            assert found(indexes, "when does the ship sail") == ["The boat leaves at ten."]

    await asyncio.to_thread(offline)
