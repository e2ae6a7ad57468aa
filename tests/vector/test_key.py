"""The vector process serves who knows its key: other users can reach its port, and nothing behind it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.grpc import collections_pb2, collections_service_pb2_grpc, qdrant_pb2, qdrant_pb2_grpc

from benchmarks.freshness.gateways import VectorService
from tests.support.retrieval.vector_client import create
from trivet.stores.vector_process import VectorProcess

pytestmark = pytest.mark.process

STUBS: dict[str, tuple[Any, str, Any]] = {
    "Collections/List": (
        collections_service_pb2_grpc.CollectionsStub,
        "List",
        collections_pb2.ListCollectionsRequest(),
    ),
    "Collections/Delete": (
        collections_service_pb2_grpc.CollectionsStub,
        "Delete",
        collections_pb2.DeleteCollection(collection_name="c"),
    ),
    "Qdrant/HealthCheck": (qdrant_pb2_grpc.QdrantStub, "HealthCheck", qdrant_pb2.HealthCheckRequest()),
}


def address(process: VectorProcess) -> str:
    assert process.endpoint is not None
    return f"127.0.0.1:{process.endpoint.grpc_port}"


@pytest.mark.parametrize("call", STUBS)
@pytest.mark.parametrize("key", [None, "", "wrong", "x" * 4000])
async def test_calls_without_the_key_are_refused(
    call: str, key: str | None, process: VectorProcess, client: AsyncQdrantClient
) -> None:
    await create(client, "c")
    stub, method, request = STUBS[call]
    metadata = None if key is None else (("api-key", key),)
    async with grpc.aio.insecure_channel(address(process)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await getattr(stub(channel), method)(request, metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert [item.name for item in (await client.get_collections()).collections] == ["c"]


async def test_each_start_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        process = VectorProcess(tmp_path / "vector", tmp_path / "vector.log", stop_timeout=5)
        await process.start()
        assert process.endpoint is not None
        assert process.endpoint.api_key is not None
        keys.add(process.endpoint.api_key)
        for told in ("cmdline", "environ"):
            assert process.endpoint.api_key not in await asyncio.to_thread(
                Path(f"/proc/{process.pid}/{told}").read_text
            )
        await process.stop()
    assert {len(key) for key in keys} == {64}
    assert len(keys) == 2
    assert not any(key in (tmp_path / "vector.log").read_text() for key in keys)


CALLER = """
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
socket.create_connection((host, int(port))).close()
print(open(f"/proc/{sys.argv[2]}/environ").read())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_reaches_the_port_and_not_the_key(process: VectorProcess) -> None:
    command = ["/usr/bin/python3", "-I", "-c", CALLER, address(process), str(process.pid)]
    done = await asyncio.to_thread(
        partial(
            subprocess.run, command, user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True
        )
    )
    assert "PermissionError" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("x" * 40, 0o644, "may be read by others (mode 0644)"),
        ("short", 0o600, "at least 32 printable characters, got 5"),
        ("ö" * 40, 0o600, "other characters than ASCII"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_key_file_that_does_not_keep_a_key_is_refused(tmp_path: Path, text: str | None, mode: int, said: str) -> None:
    file = tmp_path / "key"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    command = [sys.executable, "-m", "trivet.vector", "--data", str(tmp_path / "vector"), "--key-file", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


def test_a_service_with_a_key_file_tells_nobody_its_key_and_outlives_its_stdin(tmp_path: Path) -> None:
    service = VectorService(tmp_path)
    service.start()
    try:
        for key, code in ((service.key_file.read_text(), None), ("y" * 40, grpc.StatusCode.UNAUTHENTICATED)):
            with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
                stub, found = qdrant_pb2_grpc.QdrantStub(channel), None
                try:
                    stub.HealthCheck(qdrant_pb2.HealthCheckRequest(), metadata=(("api-key", key),), timeout=60)
                except grpc.RpcError as error:
                    found = error.code()
            assert found is code
        assert service.key_file.read_text() not in (tmp_path / "log").read_text()
    finally:
        service.kill()
