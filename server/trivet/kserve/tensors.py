"""Tensors of one element: what a request's hold, and how a response's are written.

Source: https://github.com/kserve/open-inference-protocol; the raw form of BYTES (a length of four bytes, little-endian,
before each element) is Triton's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from trivet.errors import Problems
from trivet.excerpt import quote
from trivet.kserve.v2 import open_inference_pb2 as pb

INPUTS: Mapping[str, str] = {
    "text_input": "BYTES",
    "stream": "BOOL",
    "sampling_parameters": "BYTES",
    "exclude_input_in_output": "BOOL",
    "return_finish_reason": "BOOL",
    "return_num_input_tokens": "BOOL",
    "return_num_output_tokens": "BOOL",
    "return_citations": "BOOL",
}
OUTPUTS: Mapping[str, str] = {
    "text_output": "BYTES",
    "finish_reason": "BYTES",
    "num_input_tokens": "UINT32",
    "num_output_tokens": "UINT32",
    "citations": "BYTES",
}
MOST_TENSORS = 16
_LENGTH = struct.Struct("<I")
_MOST_DIMENSIONS = 2
_CONTENTS = {"BYTES": "bytes_contents", "BOOL": "bool_contents"}


def read_inputs(request: pb.ModelInferRequest, problems: Problems) -> dict[str, str | bool]:
    """The inputs by name: texts and truth values. What is wrong with them is added to `problems`."""
    raw = request.raw_input_contents
    if len(request.inputs) > MOST_TENSORS:
        problems.add("inputs", f"expected at most {MOST_TENSORS}, got {len(request.inputs):,}")
        return {}
    if raw and len(raw) != len(request.inputs):
        problems.add("raw_input_contents", f"expected one for each input, got {len(raw):,} for {len(request.inputs)}")
        return {}
    found: dict[str, str | bool] = {}
    for position, tensor in enumerate(request.inputs):
        at = f"inputs[{position}]"
        kind = INPUTS.get(tensor.name)
        if kind is None or tensor.name in found:
            known = ", ".join(INPUTS)
            problems.add(f"{at}.name", f"{quote(tensor.name)} is unknown or there twice, expected one of {known}")
            continue
        value = _element(tensor, raw[position] if raw else None, kind, at, problems)
        if value is not None:
            found[tensor.name] = value
    return found


def _element(
    tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, kind: str, at: str, problems: Problems
) -> str | bool | None:
    shape = list(tensor.shape[: _MOST_DIMENSIONS + 1])
    problems.expect(tensor.datatype == kind, f"{at}.datatype", f"expected {kind}, got {quote(tensor.datatype)}")
    single = 1 <= len(shape) <= _MOST_DIMENSIONS and set(shape) == {1}
    problems.expect(single, f"{at}.shape", "expected one element: [1]")
    problems.expect(not tensor.parameters, f"{at}.parameters", "expected none: shared memory is not served")
    if raw is not None:
        if tensor.HasField("contents"):
            problems.add(f"{at}.contents", "expected none beside raw_input_contents")
        return _from_raw(raw, kind, at, problems)
    values = getattr(tensor.contents, _CONTENTS[kind])
    if len(values) != 1:
        problems.add(f"{at}.contents.{_CONTENTS[kind]}", f"expected one element, got {len(values):,}")
        return None
    return _text(values[0], at, problems) if kind == "BYTES" else bool(values[0])


def _from_raw(raw: bytes, kind: str, at: str, problems: Problems) -> str | bool | None:
    if kind == "BOOL":
        problems.expect(raw in (b"\0", b"\1"), at, "expected one byte, 0 or 1")
        return raw == b"\1"
    told = _LENGTH.unpack_from(raw)[0] if len(raw) >= _LENGTH.size else -1
    if told != len(raw) - _LENGTH.size:
        problems.add(at, "expected one element: its length in four bytes, and that many bytes")
        return None
    return _text(raw[_LENGTH.size :], at, problems)


def _text(value: bytes, at: str, problems: Problems) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        problems.add(at, "is not UTF-8")
        return None


def add_output(response: pb.ModelInferResponse, name: str, value: str | int) -> None:
    """One more output with one element."""
    response.outputs.add(name=name, datatype=OUTPUTS[name], shape=[1])
    if isinstance(value, int):
        response.raw_output_contents.append(_LENGTH.pack(value))
        return
    data = value.encode()
    response.raw_output_contents.append(_LENGTH.pack(len(data)) + data)
