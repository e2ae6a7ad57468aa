"""Requests of the Open Inference Protocol as Triton's client writes them, and what their answers say."""

from __future__ import annotations

import struct
from typing import Any

from trivet.kserve.v2 import open_inference_pb2 as pb

KEY = (("authorization", "Bearer secret-a"),)


def raw_text(text: str | bytes) -> bytes:
    """One element of type BYTES."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<I", len(data)) + data


def infer(model: str = "plain", text: str | None = "hello", **inputs: Any) -> pb.ModelInferRequest:
    """A text, and other inputs: truth values or texts."""
    request = pb.ModelInferRequest(model_name=model, id="mine")
    for name, value in {"text_input": text, **inputs}.items():
        if value is None:
            continue
        kind = "BOOL" if isinstance(value, bool) else "BYTES"
        request.inputs.add(name=name, datatype=kind, shape=[1])
        request.raw_input_contents.append(bytes([value]) if isinstance(value, bool) else raw_text(value))
    return request


def outputs(response: pb.ModelInferResponse) -> dict[str, Any]:
    """By name: texts and numbers."""
    found: dict[str, Any] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        assert list(output.shape) == [1]
        if output.datatype == "UINT32":
            (found[output.name],) = struct.unpack("<I", raw)
        else:
            assert struct.unpack("<I", raw[:4]) == (len(raw) - 4,)
            found[output.name] = raw[4:].decode()
    return found
