"""What receipts say of rollouts, over a real channel: who answered, why, how alike, and whether it counts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Gateway, failure, gateway, request, variant
from trivet.api.v1 import receipt_pb2
from trivet.metering.receipt_log import from_json, to_json
from trivet.pipeline.fingerprints import text_hash, unit_hash
from trivet.testing import ScriptedBackend
from trivet.types.request import KeyRole, Message
from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route

SCHEMA = {"type": "object", "properties": {"queue": {"enum": ["a", "b"]}}, "required": ["queue"]}
RUNNING = RouteRollout("r1", "canary", 2, "old", "new", 1.0, 0.0, "salt")
KEYS = [
    ("client", "acme", KeyRole.CLIENT),
    ("operator", "acme", KeyRole.OPERATOR),
]


def rolled(name: str, rollout: RouteRollout | None = RUNNING, **stable: Any) -> Route:
    variants = {"old": variant("old", **stable), "new": variant("new")}
    return Route(name, variants, {"old": 1.0, "new": 0.0}, name, revision=5, rollout=rollout)


ROUTES = [
    rolled("all"),
    rolled("none", replace(RUNNING, share=0.0)),
    rolled("held", replace(RUNNING, holdout=0.999)),
    rolled("formed", json_schema=SCHEMA),
    rolled("pending", replace(RUNNING, id="", state="pending", step=-1, share=0.0, salt="")),
    rolled("over", replace(RUNNING, state="promoted")),
]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, more_routes=ROUTES) as running:
        yield running


async def receipt(served: Gateway, route: str, text: str = "hello", **fields: Any) -> receipt_pb2.Receipt:
    response = await served.stub.Generate(request(route, text, **fields))
    return response.receipt


async def test_a_receipt_names_the_rollout_and_tells_alike_from_alike(served: Gateway) -> None:
    one = await receipt(served, "all", unit_id="lovelace")
    assert (one.variant, one.rollout, one.rollout_step, one.rollout_revision) == ("new", "r1", 2, 5)
    assert one.unit_source == receipt_pb2.UNIT_SOURCE_REQUEST
    assert one.unit_hash == unit_hash("salt", "lovelace")
    assert one.text_hash == text_hash("salt", [Message("user", "hello")])
    assert "lovelace" not in str(one), "a name that no hexadecimal identifier can hold"
    same, other = await receipt(served, "all", unit_id="lovelace"), await receipt(served, "all", "hallo", unit_id="bob")
    assert (same.unit_hash, same.text_hash) == (one.unit_hash, one.text_hash)
    assert len({one.unit_hash, other.unit_hash, one.text_hash, other.text_hash}) == 4


async def test_without_a_unit_there_is_no_hash_of_one(served: Gateway) -> None:
    one = await receipt(served, "all")
    assert (one.unit_source, one.unit_hash) == (receipt_pb2.UNIT_SOURCE_RANDOM, "")
    assert one.text_hash


async def test_the_held_out_are_marked(served: Gateway) -> None:
    one = await receipt(served, "held", unit_id="ada")
    assert (one.variant, one.unit_source) == ("old", receipt_pb2.UNIT_SOURCE_HOLDOUT)


async def test_where_no_rollout_runs_nothing_is_said_of_texts(served: Gateway) -> None:
    pending = await receipt(served, "pending", unit_id="ada")
    assert (pending.variant, pending.rollout, pending.text_hash) == ("old", "", "")
    assert not pending.HasField("rollout_step")
    assert pending.unit_hash == unit_hash("pending", "ada")
    over = await receipt(served, "over", unit_id="ada")
    assert (over.variant, over.rollout, over.text_hash) == ("new", "r1", "")
    plain = await receipt(served, "plain", unit_id="ada")
    assert (plain.rollout, plain.unit_hash) == ("", unit_hash("plain", "ada"))


async def test_hashes_are_those_of_their_definition_for_ever() -> None:
    assert unit_hash("salt", "ada") == "c290d07ababb13be"
    assert text_hash("salt", [Message("user", "a"), Message("assistant", "b")]) == "0874a0002fc622f1"
    apart = {text_hash("s", [Message("user", "ab"), Message("user", "c")]), text_hash("s", [Message("user", "abc")])}
    assert len(apart) == 2


async def test_a_tester_chooses_and_nobody_else_does(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS, testers=("tester",), more_routes=ROUTES) as served:

        async def asked(key: str, chosen: str) -> receipt_pb2.Receipt:
            metadata = [("authorization", f"Bearer {key}"), ("x-trivet-variant", chosen)]
            response = await served.stub.Generate(request("none", unit_id="ada"), metadata=metadata)
            return response.receipt

        for key in ("operator", "tester"):
            one = await asked(key, "new")
            assert (one.variant, one.unit_source) == ("new", receipt_pb2.UNIT_SOURCE_FORCED)
            assert one.rollout == "r1"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked("client", "new")
        assert failure(refused.value).code == "PERMISSION_DENIED"
        for chosen, told in (("nobody", "known: old, new"), ("x" * 129, "at most 128 characters")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await asked("tester", chosen)
            found = failure(refused.value)
            assert (found.code, told in found.fields["x-trivet-variant"]) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize(
    ("answer", "valid"),
    [('{"queue": "a"}', True), ('{"queue": "c"}', False), ('{"queue": "a"', False)],
)
@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_both_arms_are_held_against_the_stable_variants_form(
    tmp_path: Path, answer: str, valid: bool, share: float
) -> None:
    backend = ScriptedBackend([answer])
    route = rolled("formed", replace(RUNNING, share=share), json_schema=SCHEMA)
    async with gateway(tmp_path, backend=backend, more_routes=[route]) as served:
        one = await receipt(served, "formed", unit_id="ada")
    assert one.variant == ("new" if share else "old")
    assert one.HasField("format_valid")
    assert one.format_valid is valid


async def test_a_requests_own_schema_was_enforced_by_the_engine(tmp_path: Path) -> None:
    async with gateway(tmp_path, backend=ScriptedBackend(['{"queue": "a"']), more_routes=ROUTES) as served:
        cut = await receipt(served, "plain", json_schema=SCHEMA)
    assert cut.HasField("format_valid")
    assert not cut.format_valid


async def test_no_form_was_asked_for_and_none_is_told_of(served: Gateway) -> None:
    assert not (await receipt(served, "plain")).HasField("format_valid")


async def test_the_log_keeps_all_of_it(served: Gateway) -> None:
    await receipt(served, "formed", unit_id="ada")
    assert served.receipts.flush()
    line = (served.folder / "receipts.jsonl").read_text().splitlines()[-1]
    data = json.loads(line)
    assert (data["rollout"], data["rollout_step"], data["format_valid"]) == ("r1", 2, False)
    assert not {"cold", "shadow"} & data.keys()
    read = from_json(data)
    assert (read.unit_hash, read.format_valid, read.cold) == (unit_hash("salt", "ada"), False, False)
    assert to_json(replace(read, cold=True, shadow=True)) == {**data, "cold": True, "shadow": True}
