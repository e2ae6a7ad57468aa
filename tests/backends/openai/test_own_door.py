"""The backend against this project's own HTTP door: an answer through two gateways."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine.fixtures import collect
from tests.support.gateway.harness import gateway
from trivet.backends.openai import EndpointSettings, OpenAiEndpoint
from trivet.errors import BackendUnavailable, InvalidRequest
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.generation import BackendRequest, FinishReason
from trivet.types.request import KeyRole, Message
from trivet.types.variant import Sampling


def settings(address: str, key: str) -> EndpointSettings:
    return EndpointSettings(
        name="other", url=f"http://{address}/v1", served_model="plain", tokenize=lambda _: (1,), read_key=lambda: key,
        context_tokens=1000,
    )  # fmt: skip


def asking(text: str, max_tokens: int = 8) -> BackendRequest:
    return BackendRequest("r1", (1, 2), Sampling(max_tokens=max_tokens), messages=(Message("user", text),))


async def test_texts_counts_and_refusals_come_through(tmp_path: Path) -> None:
    keys = [("secret", "acme", KeyRole.CLIENT)]
    limits = LimitSet(by_key={"secret": (Limit(Owner.KEY, "secret", Period.MONTH, Unit.REQUESTS, 2),)})
    async with gateway(tmp_path, http=True, keys=keys, limits=limits) as served:
        served.backend.script = ["one ", "\u00e9", "\U0001f600", " three"]
        backend = OpenAiEndpoint(settings(served.http, "secret"))
        try:
            await backend.start()
            assert not backend.token_ids
            chunks = await collect(backend, asking("Hello?"))
            assert "".join(chunk.text for chunk in chunks) == "one \u00e9\U0001f600 three"
            last, (receipt,) = chunks[-1], served.counted
            assert (last.finish, last.answer_tokens, last.estimated) == (FinishReason.STOP, 4, False)
            assert (last.input_tokens, last.cached_tokens) == (receipt.input_tokens, receipt.cached_tokens)
            assert (await collect(backend, asking("Hello?", 2)))[-1].finish is FinishReason.LENGTH
            with pytest.raises(Exception, match="too many requests") as refused:
                await collect(backend, asking("Hello?"))
            assert getattr(refused.value, "retry_after", 0) >= 1
            with pytest.raises(InvalidRequest, match="the endpoint refuses it"):
                await collect(backend, BackendRequest("r2", (1,), Sampling(), messages=(Message("assistant", "a"),)))
            assert backend.ready
        finally:
            await backend.close()


async def test_a_wrong_key_is_told_at_the_start(tmp_path: Path) -> None:
    async with gateway(tmp_path, http=True, keys=[("secret", "acme", KeyRole.CLIENT)]) as served:
        backend = OpenAiEndpoint(settings(served.http, "another"))
        with pytest.raises(BackendUnavailable, match="does not accept the gateway's key"):
            await backend.start()
        await backend.close()
