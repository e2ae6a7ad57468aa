"""What OpenAI's two forms of a request have in common, and the parameters that vLLM's server adds to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.struct_pb2 import Struct
from pydantic import BeforeValidator, Field, WithJsonSchema

from trivet.api.v1 import inference_pb2
from trivet.errors import InvalidRequest
from trivet.http.forms.form import Form
from trivet.rpc.messages.bounds import DEEPEST

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


def neutral(*values: object, why: str = "not supported by this server") -> BeforeValidator:
    """For parameters that this server does not have: what changes nothing is taken, anything else refused."""

    def check(value: object) -> object:
        if value is None or any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values):
            return None
        shown = " or ".join(map(repr, values)) or "nothing"
        raise ValueError(f"{why}, expected {shown}")

    return BeforeValidator(check, json_schema_input_type=Any if values else None)


def one_or_more(value: object) -> object:
    """A string stands for a list of it."""
    return [value] if isinstance(value, str) else value


def texts_schema(*, most: int, characters: int | None = None) -> WithJsonSchema:
    """How the description tells of a string, or a list of 1 to `most`; `characters` of each at most."""
    text: dict[str, Any] = {"type": "string", "minLength": 1}
    if characters is not None:
        text["maxLength"] = characters
    return WithJsonSchema({"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": most}]})


class StreamOptions(Form):
    """What a stream tells beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Retrieval(Form):
    """What a request asks of its search itself."""

    top_k: Int32 | None = None
    filter: list[str] = Field(default_factory=list)
    disabled: bool = False
    expand: Literal["none", "neighbours", "section", "document"] | None = None
    where: dict[str, Any] | None = None


class Extension(Form):
    """What only Trivet knows: the prompt's variables, and the search."""

    variables: dict[str, str] = Field(default_factory=dict)
    retrieval: Retrieval = Retrieval()


class Parameters(Form):
    """Whose request it is, how it is answered and how tokens are drawn. `model` is the route, or `route:adapter`."""

    model: str
    stream: bool | None = False
    temperature: float | None = None
    seed: Int64 | None = None
    stop: Annotated[list[str] | None, BeforeValidator(one_or_more, json_schema_input_type=str | list[str] | None)] = (
        None
    )
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    trivet: Extension = Extension()
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_k: Int32 | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    top_logprobs: Int32 | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_reasoning_tokens: Int32 | None = None
    service_tier: Annotated[None, neutral("auto", "default")] = None
    prompt_cache_key: str | None = None

    @property
    def unit(self) -> str:
        """Who sticks to a variant: the field that OpenAI has now, or the one that it had."""
        return self.safety_identifier or self.user or ""

    def request(
        self, *, max_tokens: int | None, top_logprobs: int | None, effort: str | None, answers: int | None = None
    ) -> inference_pb2.GenerateRequest:
        """These in the contract's words. `effort`: how much the model is to think, for its template to know. `answers`:
        how many."""
        route, _, adapter = self.model.partition(":")
        retrieval = self.trivet.retrieval
        found = inference_pb2.GenerateRequest(
            route=route,
            adapter=adapter,
            single_tool_call=self.parallel_tool_calls is False,
            variables=self.trivet.variables,
            unit_id=self.unit,
            stop=self.stop or (),
            labels=self.metadata or {},
            retrieval=inference_pb2.RetrievalOptions(filter=retrieval.filter, disabled=retrieval.disabled),
        )
        if retrieval.top_k is not None:
            found.retrieval.top_k = retrieval.top_k
        if retrieval.expand is not None:
            found.retrieval.expand = getattr(inference_pb2, f"EXPAND_{retrieval.expand.upper()}")
        if retrieval.where is not None:
            _parse(retrieval.where, found.retrieval.where, "trivet.retrieval.where")
        asked = {"max_tokens": max_tokens, "top_logprobs": top_logprobs, "n": _changing(answers, 1)}
        for name, value in {**self._drawing(), **asked}.items():
            if value is not None:
                setattr(found, name, value)
        self._add_template_variables(found, effort)
        return found

    def _drawing(self) -> dict[str, Any]:
        """How tokens are drawn. What changes nothing is left out: many clients send it, and not all routes allow it."""
        return {
            "temperature": self.temperature,
            "seed": self.seed,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "top_p": _changing(self.top_p, 1),
            "top_k": self.top_k,
            "min_p": _changing(self.min_p, 0),
            "presence_penalty": _changing(self.presence_penalty, 0),
            "frequency_penalty": _changing(self.frequency_penalty, 0),
            "repetition_penalty": _changing(self.repetition_penalty, 1),
        }

    def _add_template_variables(self, found: inference_pb2.GenerateRequest, effort: str | None) -> None:
        values = dict(self.chat_template_kwargs or {})
        if effort is not None:
            values.setdefault("reasoning_effort", effort)
        if not values:
            return
        _parse(values, found.template_variables, "template_variables")


def _parse(values: dict[str, Any], into: Struct, field: str) -> None:
    """Raises InvalidRequest."""
    try:
        ParseDict(values, into, max_recursion_depth=DEEPEST)
    except (ParseError, ValueError, OverflowError) as error:
        raise InvalidRequest({field: str(error)[:200]}) from None


def _changing(value: float | None, neutral_value: float) -> float | None:
    return None if value == neutral_value else value
