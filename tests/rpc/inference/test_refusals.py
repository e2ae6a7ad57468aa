"""A request that is refused has a receipt, as soon as it is known whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from tests.support.gateway.harness import Gateway, failure, gateway
from trivet.api.v1 import inference_pb2
from trivet.types.request import KeyRole

KEY = ("authorization", "Bearer hers")
USER = inference_pb2.Message(role="user", content="x")
Metadata = Sequence[tuple[str, str]]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, keys=[("hers", "acme", KeyRole.CLIENT)]) as running:
        yield running


def schema(**fields: Any) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def request(**fields: Any) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(**{"route": "plain", "messages": [USER], **fields})


WRONG: dict[str, tuple[inference_pb2.GenerateRequest, Metadata]] = {
    "role": (request(messages=[inference_pb2.Message(role="system", content="x")]), ()),
    "no message": (request(messages=[]), ()),
    "temperature": (request(temperature=9.0), ()),
    "schema": (request(json_schema=schema(type="nothing")), ()),
    "priority": (request(), [("x-trivet-priority", "high")]),
    "variant": (request(), [("x-trivet-variant", "plain")]),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_wrong_with_it_does_not_matter(served: Gateway, wrong: str, streamed: bool) -> None:
    asked, more = WRONG[wrong]
    metadata = (KEY, ("x-request-id", "r1"), *more)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        if streamed:
            async for _ in served.stub.GenerateStream(asked, metadata=metadata):
                pass
        else:
            await served.stub.Generate(asked, metadata=metadata)
    said = failure(refused.value)
    assert said.code in {"INVALID_ARGUMENT", "PERMISSION_DENIED"}
    assert said.receipt is not None
    assert (said.receipt.request_id, said.receipt.tenant, said.receipt.code) == ("r1", "acme", said.code)
    assert (said.receipt.route, said.receipt.variant) == ("plain", "")
    assert not said.receipt.cost.HasField("total")
    got = await served.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id="r1"), metadata=(KEY,))
    assert got.receipt == said.receipt
    labels = {"route": "plain", "variant": "none", "code": said.code}
    assert served.registry.get_sample_value("trivet_requests_total", labels) == 1
    assert await asyncio.to_thread(served.receipts.flush)
    assert served.receipts.search("acme", "r1") is not None


async def test_nobodys_request_has_none(served: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.Generate(request(temperature=9.0), metadata=[("x-request-id", "r1")])
    assert failure(refused.value).code == "UNAUTHENTICATED"
    assert served.receipts.find("public", "r1") is None
    assert served.receipts.find("acme", "r1") is None
    assert not [sample for family in served.registry.collect() for sample in family.samples if "code" in sample.labels]
