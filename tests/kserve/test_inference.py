"""The Open Inference Protocol on a scripted backend: one pipeline, with the same keys, bounds and accounts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest

from tests.support.clients.inference_requests import KEY, infer, outputs
from tests.support.gateway.harness import Gateway, failure
from trivet.kserve.v2 import open_inference_pb2 as pb


async def test_the_server_and_its_models(served: Gateway, stub: Any) -> None:
    assert (await stub.ServerLive(pb.ServerLiveRequest())).live
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    assert (await stub.ServerMetadata(pb.ServerMetadataRequest())).name == "trivet"
    told = await stub.ModelMetadata(pb.ModelMetadataRequest(name="plain"), metadata=KEY)
    assert next((one.name, one.datatype) for one in told.inputs) == ("text_input", "BYTES")
    assert next(one.name for one in told.outputs) == "text_output"
    for name, version, ready in (("plain", "", True), ("plain", "1", True), ("plain", "2", False), ("no", "", False)):
        asked = pb.ModelReadyRequest(name=name, version=version)
        assert (await stub.ModelReady(asked, metadata=KEY)).ready is ready
    served.backend.ready = False
    assert not (await stub.ModelReady(pb.ModelReadyRequest(name="plain"), metadata=KEY)).ready
    for name, version in (("no", ""), ("plain", "2")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version), metadata=KEY)
        assert failure(refused.value).code == "NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelReady(pb.ModelReadyRequest(name="plain"))
    assert failure(refused.value).code == "UNAUTHENTICATED"


async def test_a_whole_answer(served: Gateway, stub: Any) -> None:
    request = infer("rag", return_finish_reason=True, return_num_output_tokens=True, return_citations=True)
    request.inputs.add(name="return_num_input_tokens", datatype="BOOL", shape=[1])
    request.raw_input_contents.append(b"\1")
    for name, value in (("temperature", "0.5"), ("top_k", "-1"), ("stop", "###"), ("unit_id", "unit-1")):
        request.parameters[name].string_param = value
    request.parameters["max_tokens"].int64_param = 50
    request.parameters["seed"].uint64_param = 7
    request.parameters["top_p"].double_param = 1
    answer = await stub.ModelInfer(request, metadata=KEY)
    told = outputs(answer)
    assert (answer.model_name, answer.model_version, answer.id) == ("rag", "1", "mine")
    assert (told["text_output"], told["finish_reason"], told["num_output_tokens"]) == ("one two three", "stop", 3)
    receipt = served.receipts.find("a", answer.parameters["request_id"].string_param)
    assert receipt is not None
    assert told["num_input_tokens"] == receipt.input_tokens
    assert [one["passage_id"] for one in json.loads(told["citations"])] == list(receipt.passage_ids) != []
    assert (receipt.code, receipt.variant) == ("OK", answer.parameters["variant"].string_param)
    (asked,) = served.backend.requests
    drawn = asked.sampling
    assert (drawn.max_tokens, drawn.temperature, drawn.seed, tuple(drawn.stop)) == (50, 0.5, 7, ("###",))


async def test_other_ways_to_say_the_same(served: Gateway, stub: Any) -> None:
    request = pb.ModelInferRequest(model_name="open", model_version="1")
    text = request.inputs.add(name="text_input", datatype="BYTES", shape=[1, 1])
    text.contents.bytes_contents.append(b"hello")
    before = request.inputs.add(name="exclude_input_in_output", datatype="BOOL", shape=[1])
    before.contents.bool_contents.append(False)
    parameters = request.inputs.add(name="sampling_parameters", datatype="BYTES", shape=[1])
    schema = {"type": "object", "properties": {"zebra": {"type": "integer"}, "answer": {"type": "string"}}}
    asked = {"max_tokens": 9, "top_p": 0.5, "stop": ["a", "b"], "json_schema": schema, "ignore_eos": False}
    parameters.contents.bytes_contents.append(json.dumps(asked).encode())
    request.outputs.add(name="text_output")
    answer = await stub.ModelInfer(request, metadata=KEY)
    assert outputs(answer) == {"text_output": "helloone two three"}
    (reached,) = served.backend.requests
    assert (reached.sampling.max_tokens, reached.sampling.top_p, reached.sampling.stop) == (9, 0.5, ("a", "b"))
    assert reached.json_schema is not None
    assert list(reached.json_schema["properties"]) == ["zebra", "answer"]


def changed(**fields: Any) -> pb.ModelInferRequest:
    request = infer()
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def parameter(name: str, **value: Any) -> pb.ModelInferRequest:
    request = infer()
    request.parameters[name].CopyFrom(pb.InferParameter(**value))
    return request


def tensor(**fields: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="plain")
    request.inputs.add(**{"name": "text_input", "datatype": "BYTES", "shape": [1], **fields})
    return request


def raw(data: bytes) -> pb.ModelInferRequest:
    request = tensor()
    request.raw_input_contents.append(data)
    return request


def asking(name: str) -> pb.ModelInferRequest:
    request = infer()
    request.outputs.add(name=name)
    return request


WRONG: list[tuple[pb.ModelInferRequest, str]] = [
    (infer(text=None), "inputs"),
    (infer(text=""), "text_input"),
    (infer(stream=True), "stream"),
    (infer(image="x"), "inputs[1].name"),
    (infer(sampling_parameters="no JSON"), "sampling_parameters"),
    (infer(sampling_parameters="[]"), "sampling_parameters"),
    (infer(sampling_parameters='{"max_tokens": "many"}'), "parameters.max_tokens"),
    (infer(sampling_parameters='{"stop": [1]}'), "parameters.stop"),
    (infer(sampling_parameters='{"json_schema": "no"}'), "parameters.json_schema"),
    (infer(sampling_parameters='{"unit_id": "\\ud800"}'), "sampling_parameters"),
    (infer(sampling_parameters='{"seed": ' + "9" * 25 + "}"), "parameters.seed"),
    (infer(sampling_parameters='{"a":' * 500 + "1" + "}" * 500), "sampling_parameters"),
    (infer(sampling_parameters=json.dumps({"stop": "x" * 70_000})), "sampling_parameters"),
    (infer(model="plain" * 100), "model_name"),
    (infer(model=""), "model_name"),
    (changed(id="x" * 200), "id"),
    (parameter("max_tokens", string_param="1.5"), "parameters.max_tokens"),
    (parameter("max_tokens", bool_param=True), "parameters.max_tokens"),
    (parameter("max_tokens", int64_param=0), "max_tokens"),
    (parameter("max_tokens", int64_param=2**40), "parameters.max_tokens"),
    (parameter("temperature", double_param=float("nan")), "parameters.temperature"),
    (parameter("temperature", double_param=9), "temperature"),
    (parameter("top_p", double_param=0.5), "top_p"),
    (parameter("n", int64_param=2), "parameters.n"),
    (parameter("logprobs", int64_param=2), "parameters.logprobs"),
    (parameter("sequence_id", int64_param=2), "parameters.sequence_id"),
    (parameter("timeout", int64_param=-1), "parameters.timeout"),
    (parameter("unit_id", int64_param=1), "parameters.unit_id"),
    (parameter("unit_id", string_param="x" * 300), "unit_id"),
    (tensor(datatype="FP32"), "inputs[0].datatype"),
    (tensor(shape=[2]), "inputs[0].shape"),
    (tensor(), "inputs[0].contents.bytes_contents"),
    (raw(b"\5\0\0\0abc"), "inputs[0]"),
    (raw(b"\5"), "inputs[0]"),
    (raw(b"\1\0\0\0\xff"), "inputs[0]"),
    (asking("logits"), "outputs[0].name"),
    (asking("citations"), "outputs"),
]


@pytest.mark.parametrize(("request_", "field"), WRONG)
async def test_what_is_wrong_is_named(served: Gateway, stub: Any, request_: pb.ModelInferRequest, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(request_, metadata=KEY)
    told = failure(refused.value)
    assert told.code == "INVALID_ARGUMENT", told
    assert field in told.fields, told
    assert not served.backend.requests
    assert [receipt.code for receipt in served.counted] == ["INVALID_ARGUMENT"]


async def test_counts_are_bounded_before_anything_is_looked_into(stub: Any) -> None:
    many = pb.ModelInferRequest(model_name="plain")
    for _ in range(5_000):
        many.inputs.add(name="text_input")
        many.outputs.add(name="text_output")
    for number in range(1000):
        many.parameters[f"p{number}"].bool_param = True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(many, metadata=KEY)
    assert {"inputs", "outputs"} <= set(failure(refused.value).fields)


async def collect(stub: Any, *requests: pb.ModelInferRequest, metadata: Any = KEY) -> list[pb.ModelStreamInferResponse]:
    return [one async for one in stub.ModelStreamInfer(iter(requests), metadata=metadata)]


async def test_a_stream_of_pieces(served: Gateway, stub: Any) -> None:
    served.backend.script = ["one ", "\u00e9", "\U0001f600", " \u6f22\u5b57"]
    asked = infer(stream=True, return_finish_reason=True, return_num_output_tokens=True)
    asked.parameters["triton_enable_empty_final_response"].bool_param = True
    found = [one.infer_response for one in await collect(stub, asked)]
    told = [outputs(one) for one in found]
    assert [one["text_output"] for one in told] == [*served.backend.script, ""]
    assert [one["finish_reason"] for one in told] == ["None"] * 4 + ["stop"]
    assert sum(one["num_output_tokens"] for one in told) == 4
    assert [one.parameters["triton_final_response"].bool_param for one in found] == [False] * 4 + [True]
    assert {one.id for one in found} == {"mine"}
    (name,) = {one.parameters["request_id"].string_param for one in found}
    receipt = served.receipts.find("a", name)
    assert receipt is not None
    assert receipt.code == "OK"


async def test_requests_of_one_stream_are_answered_each_for_itself(served: Gateway, stub: Any) -> None:
    wrong = infer(model="nothing", stream=True)
    wrong.id = "wrong"
    whole = infer()
    whole.id = "whole"
    found = await collect(stub, infer(stream=True), wrong, whole)
    by_id: dict[str, list[pb.ModelStreamInferResponse]] = {}
    for one in found:
        by_id.setdefault(one.infer_response.id, []).append(one)
    assert "".join(outputs(one.infer_response)["text_output"] for one in by_id["mine"]) == "one two three"
    (failed,) = by_id["wrong"]
    assert "nothing" in failed.error_message
    assert failed.infer_response.parameters["code"].string_param == "NOT_FOUND"
    assert failed.infer_response.parameters["triton_final_response"].bool_param
    (answered,) = by_id["whole"]
    assert outputs(answered.infer_response) == {"text_output": "one two three"}
    assert answered.infer_response.parameters["triton_final_response"].bool_param
    assert len({one.request_id for one in served.counted}) == 3


async def test_a_stream_needs_a_key_and_what_fails_half_way_is_told(served: Gateway, stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await collect(stub, infer(), metadata=())
    assert failure(refused.value).code == "UNAUTHENTICATED"
    served.backend.interval, served.backend.script = 0.02, ["word "] * 100
    found: list[pb.ModelStreamInferResponse] = []
    async for one in stub.ModelStreamInfer(iter([infer(stream=True)]), metadata=KEY):
        found.append(one)
        served.backend.ready = False
    assert "the scripted engine is down" in found[-1].error_message
    assert found[-1].infer_response.parameters["code"].string_param == "UNAVAILABLE"
    assert not found[0].error_message


async def test_a_time_limit_of_the_requests_own(served: Gateway, stub: Any) -> None:
    served.backend.interval, served.backend.script = 0.05, ["word "] * 1000
    asked = parameter("timeout", int64_param=200_000)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(asked, metadata=KEY)
    assert failure(refused.value).code == "DEADLINE_EXCEEDED"
    assert served.backend.in_flight == 0


async def idle(served: Gateway) -> None:
    async with asyncio.timeout(60):
        while served.backend.in_flight:
            await asyncio.sleep(0.01)


async def test_a_client_that_goes_ends_the_work(served: Gateway, stub: Any) -> None:
    served.backend.interval, served.backend.script = 0.01, ["word "] * 1000
    stream = stub.ModelStreamInfer(iter([infer(stream=True), infer(stream=True)]), metadata=KEY)
    for _ in range(4):
        await stream.read()
    stream.cancel()
    await idle(served)
    assert served.backend.aborted == 2
    assert {receipt.code for receipt in served.counted} == {"CANCELLED"}


async def test_a_client_that_does_not_read_is_given_up(served: Gateway, stub: Any) -> None:
    served.backend.script = ["word " * 400] * 900
    stream = stub.ModelStreamInfer(iter([infer(stream=True)]), metadata=KEY)
    await stream.read()
    await idle(served)
    assert [receipt.code for receipt in served.counted] == ["ABORTED"]
