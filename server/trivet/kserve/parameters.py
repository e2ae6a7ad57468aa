"""Parameters of a request: those of Triton's vLLM backend that Trivet has, by the same names, and some of its own.

Source: https://github.com/triton-inference-server/vllm_backend. They come as the request's `parameters` or as a JSON
object in the input `sampling_parameters`, and numbers also as texts, as that backend takes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.excerpt import shortened
from trivet.kserve.v2 import open_inference_pb2 as pb

MOST_PARAMETERS = 64
MOST_NAME = 128  # characters
MOST_TEXT = 65_536  # characters of a parameter, and of all of them as JSON
EMPTY_FINAL = "triton_enable_empty_final_response"  # taken: a stream's last response always says that it is the last
TIMEOUT = "timeout"  # microseconds
SCHEMA = "json_schema"
_MOST_DIGITS = 32
_INTEGERS = ("max_tokens", "top_k", "seed", "max_reasoning_tokens")
_NUMBERS = (*_INTEGERS, "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
_TEXTS = {"lora_name": "adapter", "unit_id": "unit_id"}
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
}
# What vLLM has and this server has not: taken where it changes nothing.
_FIXED: Mapping[str, tuple[object, ...]] = {
    "n": (1, "1"),
    "best_of": (1, "1"),
    "ignore_eos": (False, "false", "False"),
    "min_tokens": (0, "0"),
    "skip_special_tokens": (True, "true", "True"),
    EMPTY_FINAL: (True, False),
}


def read_parameters(request: pb.ModelInferRequest, sampling: str, problems: Problems) -> dict[str, Any]:
    """All of them by name. `sampling`: the text of the input of that name, empty if there is none."""
    if len(request.parameters) > MOST_PARAMETERS:
        problems.add("parameters", f"expected at most {MOST_PARAMETERS}, got {len(request.parameters):,}")
        return {}
    found = {name: _value(parameter) for name, parameter in request.parameters.items()}
    for name, value in found.items():
        fits = len(name) <= MOST_NAME and not (isinstance(value, str) and len(value) > MOST_TEXT)
        problems.expect(fits, _at(name), f"expected at most {MOST_NAME} characters, and {MOST_TEXT:,} of a text")
    for name, value in _from_text(sampling, problems).items():
        problems.expect(name not in found, _at(name), "is in parameters and in sampling_parameters, expected it once")
        found[name] = value
    return found


def apply_parameters(found: Mapping[str, Any], message: inference_pb2.GenerateRequest, problems: Problems) -> None:
    """Put them where the contract has them; what it has not is added to `problems`."""
    for name, value in found.items():
        at = _at(name)
        if name in _NUMBERS:
            _apply_number(name, value, message, at, problems)
        elif name in _TEXTS:
            problems.expect(isinstance(value, str), at, "expected a text")
            if isinstance(value, str):
                setattr(message, _TEXTS[name], value)
        elif name == "stop":
            message.stop.extend(_stops(value, at, problems))
        elif name in _FIXED:
            taken = any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in _FIXED[name])
            problems.expect(taken, at, f"not supported by this server, expected {_FIXED[name][0]!r}")
        elif name not in (TIMEOUT, SCHEMA):
            problems.add(at, "unknown, expected a parameter that this server supports")


def timeout_of(found: Mapping[str, Any], problems: Problems) -> float | None:
    """Seconds that the client gives its request; None for no limit of its own."""
    if TIMEOUT not in found:
        return None
    number = _number(found[TIMEOUT])
    problems.expect(number is not None and number > 0, _at(TIMEOUT), "expected a number of microseconds above 0")
    return None if number is None else number / 1e6


def schema_of(found: Mapping[str, Any], problems: Problems) -> dict[str, Any] | None:
    """The JSON schema that the text is to follow, an object or its text; None if there is none."""
    value = found.get(SCHEMA)
    if isinstance(value, str):
        try:
            value = from_json(value, allow_inf_nan=False)
        except ValueError as error:
            problems.add(_at(SCHEMA), f"is no JSON: {shortened(str(error), 200)}")
            return None
    problems.expect(value is None or isinstance(value, dict), _at(SCHEMA), "expected a JSON schema, an object")
    return value if isinstance(value, dict) else None


def _apply_number(name: str, value: Any, message: inference_pb2.GenerateRequest, at: str, problems: Problems) -> None:
    number = _number(value)
    if number is None or (name in _INTEGERS and not number.is_integer()):
        problems.add(at, "expected an integer" if name in _INTEGERS else "expected a number")
    elif number not in _NEUTRAL.get(name, ()):
        try:
            setattr(message, name, _integer(value) if name in _INTEGERS else number)
        except (ValueError, OverflowError):
            problems.add(at, "is out of range")


def _number(value: Any) -> float | None:
    """The number that a parameter says, None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _MOST_DIGITS:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int:
    """Exactly: a seed may have more digits than a double holds."""
    try:
        return int(value)
    except ValueError:
        return int(float(value))  # "1.0"


def _stops(value: Any, at: str, problems: Problems) -> Iterable[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        problems.add(at, "expected a text, or a list of texts")
        return ()
    return texts


def _value(parameter: pb.InferParameter) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)


def _from_text(text: str, problems: Problems) -> dict[str, Any]:
    if not text:
        return {}
    if len(text) > MOST_TEXT:
        problems.add("sampling_parameters", f"expected at most {MOST_TEXT:,} characters, got {len(text):,}")
        return {}
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        problems.add("sampling_parameters", f"is no JSON: {shortened(str(error), 200)}")
        return {}
    if not isinstance(found, dict) or len(found) > MOST_PARAMETERS:
        problems.add("sampling_parameters", f"expected a JSON object of at most {MOST_PARAMETERS} parameters")
        return {}
    return {name: value for name, value in found.items() if value is not None}


def _at(name: str) -> str:
    return f"parameters.{shortened(name, 64)}"
