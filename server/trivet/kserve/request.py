"""A request of the Open Inference Protocol, checked, in the contract's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trivet.api.v1 import inference_pb2
from trivet.errors import InvalidRequest, NotFound, Problems
from trivet.excerpt import quote
from trivet.kserve.parameters import apply_parameters, read_parameters, schema_of, timeout_of
from trivet.kserve.tensors import MOST_TENSORS, OUTPUTS, read_inputs
from trivet.kserve.v2 import open_inference_pb2 as pb
from trivet.rpc.messages.bounds import check_bounds

VERSION = "1"
MOST_MODEL_NAME = 256  # characters: a route's and an adapter's
MOST_ID = 128
_RENAMED = {"route": "model_name", "adapter": "model_name", "messages[0].content": "text_input"}
_RETURNED = ("finish_reason", "num_input_tokens", "num_output_tokens", "citations")


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What was asked. `outputs` are those to be given, in their order; `timeout` in seconds.

    `before`: what goes before the answer's text, the prompt where the client asked for it.
    """

    message: inference_pb2.GenerateRequest
    schema: Mapping[str, Any] | None
    outputs: tuple[str, ...]
    stream: bool
    before: str
    timeout: float | None


def infer_request(request: pb.ModelInferRequest, *, streams: bool) -> InferRequest:
    """Check a request; `streams` where it may ask for its answer in pieces.

    Raises InvalidRequest that names every wrong field, NotFound for another version of a model.
    """
    check_version(request.model_version)
    problems = Problems()
    _check_names(request, problems)
    inputs = read_inputs(request, problems)
    problems.refuse()
    text, stream = str(inputs.get("text_input", "")), inputs.get("stream") is True
    problems.expect("text_input" in inputs, "inputs", "has no text_input")
    problems.expect(streams or not stream, "stream", "expected only with ModelStreamInfer")
    prepended = inputs.get("exclude_input_in_output") is False
    problems.expect(not (stream and prepended), "exclude_input_in_output", "expected no false where stream is true")
    found = read_parameters(request, str(inputs.get("sampling_parameters", "")), problems)
    route, _, adapter = request.model_name.partition(":")
    message = inference_pb2.GenerateRequest(route=route, adapter=adapter)
    message.messages.add(role="user", content=text)
    apply_parameters(found, message, problems)
    timeout, schema = timeout_of(found, problems), schema_of(found, problems)
    problems.refuse()
    check_bounds(message)
    returned = {name for name in _RETURNED if inputs.get(f"return_{name}") is True}
    outputs = _outputs(request, {"text_output", *returned})
    return InferRequest(message, schema, outputs, stream, text if prepended else "", timeout)


def check_version(version: str) -> None:
    """A route has one version; NotFound for any other."""
    if version not in ("", VERSION):
        raise NotFound(f"no version {quote(version)} of this model: a route has the version {VERSION} alone")


def renamed(error: InvalidRequest) -> InvalidRequest:
    """The same by the names that fields have here."""
    return InvalidRequest({_RENAMED.get(name, name): problem for name, problem in error.fields.items()}, error.more)


def _check_names(request: pb.ModelInferRequest, problems: Problems) -> None:
    for name, value, most in (("model_name", request.model_name, MOST_MODEL_NAME), ("id", request.id, MOST_ID)):
        problems.expect(len(value) <= most, name, f"expected at most {most} characters, got {len(value):,}")
    if len(request.outputs) > MOST_TENSORS:
        problems.add("outputs", f"expected at most {MOST_TENSORS}, got {len(request.outputs):,}")
        return
    for position, output in enumerate(request.outputs):
        known = ", ".join(OUTPUTS)
        at = f"outputs[{position}]"
        problems.expect(output.name in OUTPUTS, f"{at}.name", f"{quote(output.name)}: expected one of {known}")
        problems.expect(not output.parameters, f"{at}.parameters", "expected none: shared memory is not served")


def _outputs(request: pb.ModelInferRequest, there: set[str]) -> tuple[str, ...]:
    """Those that there are, or those of them that were asked for; an InvalidRequest for one that there is not."""
    asked = [output.name for output in request.outputs] or [name for name in OUTPUTS if name in there]
    for name in asked:
        if name not in there:
            raise InvalidRequest({"outputs": f"{name} needs the input return_{name}"})
    return tuple(dict.fromkeys(asked))
