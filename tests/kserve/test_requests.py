"""Requests that a program makes: whatever they hold, they are read or refused by the names of what is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clients.inference_requests import raw_text
from trivet.errors import InvalidRequest, NotFound
from trivet.kserve.request import infer_request
from trivet.kserve.tensors import INPUTS, OUTPUTS
from trivet.kserve.v2 import open_inference_pb2 as pb

NAMES = st.sampled_from([*INPUTS, *OUTPUTS, "image", ""])
PARAMETERS = st.sampled_from(
    ["max_tokens", "temperature", "top_k", "seed", "stop", "n", "timeout", "json_schema", "unit_id", "lora_name", "x"]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 2**31, -1])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
RAW = st.binary(max_size=12) | st.text(max_size=12).map(raw_text) | st.sampled_from([b"\0", b"\1"])
PARAMETER = st.one_of(
    st.booleans().map(lambda value: pb.InferParameter(bool_param=value)),
    NUMBERS.map(lambda value: pb.InferParameter(int64_param=value)),
    st.floats().map(lambda value: pb.InferParameter(double_param=value)),
    st.text(max_size=20).map(lambda value: pb.InferParameter(string_param=value)),
    st.just(pb.InferParameter()),
)
TENSOR = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=NAMES,
    datatype=st.sampled_from(["BYTES", "BOOL", "FP32", ""]),
    shape=st.lists(st.sampled_from([1, 0, -1, 2]), max_size=3),
    contents=st.builds(
        pb.InferTensorContents,
        bytes_contents=st.lists(st.binary(max_size=5), max_size=2),
        bool_contents=st.lists(st.booleans(), max_size=2),
    )
    | st.none(),
)


@st.composite
def requests(draw: st.DrawFn) -> pb.ModelInferRequest:
    found = pb.ModelInferRequest(
        model_name=draw(st.sampled_from(["plain", "plain:a@1", "", ":"])),
        model_version=draw(st.sampled_from(["", "1", "2"])),
        inputs=draw(st.lists(TENSOR, max_size=3)),
        raw_input_contents=draw(st.lists(RAW, max_size=3)),
    )
    if draw(st.booleans()):  # one that gets as far as its parameters
        del found.inputs[:], found.raw_input_contents[:]
        sampling = json.dumps(draw(st.dictionaries(PARAMETERS, VALUES, max_size=4)))
        for name, text in (("text_input", "hello"), ("sampling_parameters", sampling)):
            found.inputs.add(name=name, datatype="BYTES", shape=[1])
            found.raw_input_contents.append(raw_text(text))
    for name, value in draw(st.dictionaries(PARAMETERS, PARAMETER, max_size=4)).items():
        found.parameters[name].CopyFrom(value)
    for name in draw(st.lists(NAMES, max_size=2)):
        found.outputs.add(name=name)
    return found


@settings(max_examples=100, deadline=None)
@given(asked=requests(), streams=st.booleans())
def test_a_request_is_read_or_refused_by_name(asked: pb.ModelInferRequest, streams: bool) -> None:
    if asked.model_version == "2":
        with pytest.raises(NotFound):
            infer_request(asked, streams=streams)
        return
    with suppress(InvalidRequest):  # nothing else is raised
        read = infer_request(asked, streams=streams)
        assert read.message.messages[0].role == "user"
        assert read.outputs
