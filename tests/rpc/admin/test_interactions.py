"""Admin's calls about the interaction log: of the caller's tenant alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tests.support.gateway.admin_stub import admin_stub
from tests.support.request_logs import receipt
from trivet.api.v1 import admin_pb2_grpc, interaction_pb2
from trivet.interactions.archive import InteractionArchive
from trivet.interactions.recorder import InteractionRecorder
from trivet.interactions.redaction import Redactor
from trivet.interactions.sealing import Sealer
from trivet.metering.receipt_log.json_form import to_json
from trivet.stores.state import StateStore
from trivet.types.answer import Answer, Choice
from trivet.types.generation import FinishReason, RequestedCall
from trivet.types.request import GenerateCall, KeyRole, Message, ToolCall
from trivet.types.rollout_state import Feedback

KEYS = {"acme": KeyRole.OPERATOR, "other": KeyRole.OPERATOR, "client": KeyRole.CLIENT}


def bearer(name: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {name}"),)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[admin_pb2_grpc.AdminStub, InteractionRecorder, StateStore]]:
    store = StateStore.open(folder / "state.sqlite")
    redactor, sealer = Redactor([]), Sealer()
    recorder = InteractionRecorder(
        store, lambda _: 1.0, redactor=redactor, sealer=sealer, receipt_form=to_json, keep_seconds=60.0,
        count=lambda *_: None,
    )  # fmt: skip
    archive = InteractionArchive(store, redactor, sealer, recorder.flush)
    try:
        async with admin_stub(keys=KEYS, interactions=archive) as stub:
            yield stub, recorder, store
    finally:
        await recorder.close()
        store.close()


def offer(recorder: InteractionRecorder, tenant: str, request_id: str) -> None:
    messages = (
        Message("user", "weather?"),
        Message("assistant", "", tool_calls=(ToolCall("weather", {"city": "Ulm"}, "c1"),)),
        Message("tool", "rain", tool_call_id="c1", name="weather"),
        Message("user", "and tomorrow?"),
    )
    call = GenerateCall(request_id, tenant, "support", messages, 0.0, unit_id="u1", variables={"tone": "kind"})
    account = receipt(request_id=request_id, tenant=tenant, variant="rag")
    calls = (RequestedCall("weather", '{"city": "Ulm"}', "c2"),)
    recorder.offer(call, Answer((Choice("Let me look.", FinishReason.STOP, tool_calls=calls),), (), account))


async def exported(stub: admin_pb2_grpc.AdminStub, tenant: str, **fields: object) -> list[interaction_pb2.Interaction]:
    request = interaction_pb2.ExportInteractionsRequest(**fields)  # type: ignore[arg-type]
    return [answer.interaction async for answer in stub.ExportInteractions(request, metadata=bearer(tenant))]


async def test_an_export_has_everything_of_ones_own_tenant_and_nothing_of_another(tmp_path: Path) -> None:
    async with served(tmp_path) as (stub, recorder, store):
        offer(recorder, "acme", "a")
        offer(recorder, "other", "b")
        await store.add_feedback(Feedback("acme", "a", 0.0, "wrong", "Sunny.", "look out of the window"))
        [one] = await exported(stub, "acme")
        assert [message.role for message in one.messages] == ["user", "assistant", "tool", "user"]
        assert (one.messages[1].tool_calls[0].id, one.messages[2].tool_call_id) == ("c1", "c1")
        assert one.messages[1].tool_calls[0].arguments == one.tool_calls[0].arguments == '{"city": "Ulm"}'
        assert (one.request_id, one.route, one.variant, one.answer) == ("a", "support", "rag", "Let me look.")
        assert dict(one.variables) == {"tone": "kind"}
        assert (one.receipt.request_id, one.receipt.input_tokens) == ("a", 100)
        assert (one.rating.HasField("score"), one.rating.score, one.rating.corrected_text) == (True, 0.0, "Sunny.")
        [other] = await exported(stub, "other")
        assert (other.request_id, other.HasField("rating")) == ("b", False)
        assert other.unit != one.unit != ""
        assert await exported(stub, "acme", filter=interaction_pb2.InteractionFilter(routes=["desk"])) == []
        assert await exported(stub, "other", filter=interaction_pb2.InteractionFilter(rated=True)) == []
        offer(recorder, "acme", "c")
        assert len(await exported(stub, "acme", limit=1)) == 1


async def test_counts_and_erasing(tmp_path: Path) -> None:
    async with served(tmp_path) as (stub, recorder, _):
        for tenant, request_id in (("acme", "a"), ("acme", "b"), ("other", "c")):
            offer(recorder, tenant, request_id)
        asked = interaction_pb2.CountInteractionsRequest()
        [count] = (await stub.CountInteractions(asked, metadata=bearer("acme"))).counts
        assert (count.route, count.variant, count.stored, count.rated, count.HasField("mean_score")) == (
            "support", "rag", 2, 0, False,
        )  # fmt: skip
        erase = interaction_pb2.EraseInteractionsRequest(request_ids=["a", "c"])
        assert (await stub.EraseInteractions(erase, metadata=bearer("acme"))).erased == 1
        erase = interaction_pb2.EraseInteractionsRequest(unit_ids=["u1"])
        assert (await stub.EraseInteractions(erase, metadata=bearer("acme"))).erased == 1
        assert await exported(stub, "acme") == []
        assert len(await exported(stub, "other")) == 1
        assert (
            await stub.EraseInteractions(interaction_pb2.EraseInteractionsRequest(all=True), metadata=bearer("other"))
        ).erased == 1


async def test_only_operators_may_and_nonsense_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as (stub, _, _):
        for key, request, code in (
            ("client", interaction_pb2.EraseInteractionsRequest(all=True), grpc.StatusCode.PERMISSION_DENIED),
            ("nobody", interaction_pb2.EraseInteractionsRequest(all=True), grpc.StatusCode.UNAUTHENTICATED),
            ("acme", interaction_pb2.EraseInteractionsRequest(), grpc.StatusCode.INVALID_ARGUMENT),
            (
                "acme",
                interaction_pb2.EraseInteractionsRequest(all=True, unit_ids=["u"]),
                grpc.StatusCode.INVALID_ARGUMENT,
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.EraseInteractions(request, metadata=bearer(key))
            assert error.value.code() == code
        for key, limit in (("client", 0), ("acme", -1)):
            with pytest.raises(grpc.aio.AioRpcError):
                await exported(stub, key, limit=limit)
