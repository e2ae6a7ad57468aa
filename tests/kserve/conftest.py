"""A gateway on a scripted backend, asked by the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import SMALL_WINDOW, Gateway, gateway
from trivet.kserve.v2 import open_inference_pb2_grpc
from trivet.types.request import KeyRole

KEYS = (("secret-a", "a", KeyRole.CLIENT), ("secret-b", "b", KeyRole.CLIENT))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One for each test; its clients are the tenants a and b."""
    async with gateway(tmp_path, keys=KEYS) as running:
        yield running


@pytest.fixture
async def stub(served: Gateway) -> AsyncIterator[Any]:
    """Calls take the key as metadata."""
    async with grpc.aio.insecure_channel(served.address, options=SMALL_WINDOW) as channel:
        yield open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
