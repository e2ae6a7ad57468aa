"""A request in vLLM's terms. Source: vLLM 0.32, `vllm.v1.engine.input_processor`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from trivet.backends.answers.parser import AnswerParser
from trivet.backends.vllm_settings import GRAMMAR_BACKEND
from trivet.errors import InvalidRequest
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling
from trivet.vllm_plugin import tenant_grammars
from trivet.vllm_plugin.activation import activated_from
from trivet.vllm_plugin.prefix_salt import salt_after

_LEAST_TEMPERATURE = 0.01  # above 0: vLLM raises a lower one to this, with a line in the log for each request
_FIELDS = frozenset(field.name for field in fields(Sampling))  # of a request, under vLLM's names for them


def engine_request(
    input_processor: Any, request: BackendRequest, lora: Any, parser: AnswerParser | None, tasks: Sequence[str]
) -> Any:
    """vLLM's `EngineCoreRequest`, without the schema; raises InvalidRequest if vLLM refuses it."""
    from vllm.exceptions import VLLMClientError

    prompt: dict[str, Any] = {"type": "token", "prompt_token_ids": list(request.token_ids)}
    if request.cache_salt is not None:
        prompt["cache_salt"] = salt_after(request.unsalted_tokens, request.cache_salt)
    try:
        return input_processor.process_inputs(
            request.request_id,
            prompt,
            _sampling_params(request, parser is not None and parser.keeps_markers),
            supported_tasks=tasks,
            arrival_time=time.time(),
            lora_request=lora,
            priority=request.priority,
        )
    except (VLLMClientError, ValueError, TypeError) as problem:
        raise InvalidRequest({_field_of(problem): str(problem)[:500]}) from problem


def constrain(
    prepared: Any, request: BackendRequest, schema: str, parser: AnswerParser | None, grammar_bytes: int
) -> None:
    """Put the schema in once vLLM has checked the rest: its own check converts it again, holding up the event loop.

    `grammar_bytes`: how much the engine may cache of the grammars of the schema's owner.
    """
    from vllm.sampling_params import StructuredOutputsParams

    sampling = prepared.sampling_params
    sampling.structured_outputs = StructuredOutputsParams(json=schema)
    sampling.structured_outputs._backend = GRAMMAR_BACKEND
    prepared.reasoning_ended = parser is None or not parser.thinks_first
    prepared.reasoning_parser_kwargs = {"chat_template_kwargs": dict(request.template_variables)}
    if request.schema_owner:
        owner = tenant_grammars.owned_by(request.schema_owner, grammar_bytes)
        sampling.extra_args = {**(sampling.extra_args or {}), **owner}


def _sampling_params(request: BackendRequest, keeps_markers: bool) -> Any:
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    sampling = request.sampling
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=_LEAST_TEMPERATURE if 0 < sampling.temperature < _LEAST_TEMPERATURE else sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k or 0,
        min_p=sampling.min_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        thinking_token_budget=sampling.max_reasoning_tokens,
        logprobs=sampling.top_logprobs,
        seed=sampling.seed,
        stop=list(sampling.stop),
        skip_special_tokens=not keeps_markers,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,  # made for this request alone
        extra_args=None if request.activated_from is None else activated_from(request.activated_from),
    )


def _field_of(problem: Exception) -> str:
    """The field of the request that vLLM complains of, which it does not always tell apart from its words.

    All else that it may complain of is in the prompt.
    """
    words = str(problem).split(maxsplit=1)
    told = getattr(problem, "parameter", None) or (words[0] if words else "")
    return told if told in _FIELDS else "messages"
