"""From our settings to vLLM's engine arguments, and what vLLM says of them without starting an engine."""

from __future__ import annotations

import dataclasses
import enum
import json
import typing
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trivet.backends.vllm_settings import GRAMMAR_BACKEND, EmbeddedSettings

_REASON_LENGTH = 500


def engine_arguments(settings: EmbeddedSettings, on_cpu: bool, logging_config: Path | None = None) -> Any:
    """vLLM's `AsyncEngineArgs`. Raises ValueError and TypeError for what vLLM refuses by itself."""
    from vllm.config import StructuredOutputsConfig
    from vllm.config.logging import LoggingConfig
    from vllm.engine.arg_utils import AsyncEngineArgs

    options: dict[str, Any] = {}
    if settings.gpu_memory_utilization is not None:
        options["gpu_memory_utilization"] = settings.gpu_memory_utilization
    if settings.max_loras:
        options |= {
            "enable_lora": True,
            "max_loras": settings.max_loras,
            "max_cpu_loras": max(settings.max_cpu_loras, settings.max_loras),
            "max_lora_rank": settings.max_lora_rank,
        }
    if logging_config is not None:
        options["logging_config"] = LoggingConfig(pylogging_config_file=str(logging_config))
    options["enforce_eager"] = on_cpu  # compiling for a CPU takes longer than the whole rest of the start
    if settings.tensor_parallel_size * settings.pipeline_parallel_size > 1:
        # Else vLLM, in a placement group of Ray's, would have Ray start its workers.
        options["distributed_executor_backend"] = "mp"
    for name, value in settings.engine_args.items():
        try:
            options[name] = _converted(name, value)
        except (ValueError, TypeError) as problem:
            raise ValueError(f"engine_args.{name}: {_told(problem)}") from problem
    return AsyncEngineArgs(
        model=str(settings.model),
        served_model_name=[settings.name],
        load_format="safetensors",  # vLLM's "auto" falls back to pickles, which can run code
        trust_remote_code=settings.trust_remote_code,
        dtype="float32" if on_cpu and settings.dtype == "auto" else settings.dtype,
        block_size=settings.block_size,
        kv_cache_memory_bytes=settings.kv_cache_memory_bytes,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        tensor_parallel_size=settings.tensor_parallel_size,
        pipeline_parallel_size=settings.pipeline_parallel_size,
        enable_prefix_caching=True,
        enable_logging_iteration_details=settings.count_steps,
        scheduling_policy="priority",
        # Without this a weak model burns its tokens on blanks between the braces.
        structured_outputs_config=StructuredOutputsConfig(backend=GRAMMAR_BACKEND, disable_any_whitespace=True),
        reasoning_parser=settings.reasoning_parser or "",  # a schema holds from the end of the thoughts on
        **options,
    )


def argument_problems(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of engine arguments whose values are not of vLLM's types and choices, and what was expected.

    The names are vLLM's own (`trivet.config.engine_arguments` has refused all others). Imports vLLM, which takes some
    seconds, and starts nothing.
    """
    for name, value in arguments.items():
        try:
            _converted(name, value)
        except (ValueError, TypeError) as problem:
            yield name, _told(problem)


def _converted(name: str, value: Any) -> Any:
    """A value of the configuration as vLLM's own type; ValueError and TypeError say what does not fit.

    They are taken strictly, as in JSON, so that "yes" is no boolean. Mappings become vLLM's configuration classes,
    which check their own fields.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

    if name == "quantization" and value is not None:
        _require_choice(value, QUANTIZATION_METHODS)
    kind = next(field.type for field in dataclasses.fields(AsyncEngineArgs) if field.name == name)
    if isinstance(kind, str):  # written for type checkers alone: vLLM resolves it itself
        return value
    kind = typing.cast(Any, kind)
    choices = _enumeration(kind)
    if choices is not None and isinstance(value, str):
        named = {member.upper(): choices[member] for member in choices.__members__}
        _require_choice(value.upper(), list(named))
        return named[value.upper()]
    if choices is not None and isinstance(value, int) and not isinstance(value, bool):
        return choices(value)
    return _adapter(kind).validate_json(json.dumps(value), strict=True)


def _adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    try:
        return TypeAdapter(kind)
    except Exception:  # a type that pydantic has no schema for, such as torch.dtype
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


def _enumeration(kind: Any) -> type[enum.Enum] | None:
    """The enumeration that a type is, or that it may be beside None."""
    for part in (kind, *typing.get_args(kind)):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return part
    return None


def _require_choice(value: Any, choices: list[str]) -> None:
    if value not in choices:
        near = get_close_matches(str(value), choices, n=3, cutoff=0.6)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise ValueError(f"{value!r} is unknown{hint}, expected one of {', '.join(choices)}")


def _told(problem: Exception) -> str:
    """One line of an error, without pydantic's heading and its links."""
    from pydantic import ValidationError

    if not isinstance(problem, ValidationError):
        return str(problem)[:_REASON_LENGTH]
    lines = []
    for error in problem.errors(include_url=False):
        where = ".".join(str(part) for part in error["loc"] if not str(part).endswith("]"))
        message = error["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)[:_REASON_LENGTH]
