"""Answers as messages of the Open Inference Protocol, whole and in pieces."""

from __future__ import annotations

import json

from google.protobuf.json_format import MessageToDict

from trivet.errors import TrivetError
from trivet.kserve.request import VERSION, InferRequest
from trivet.kserve.tensors import add_output
from trivet.kserve.v2 import open_inference_pb2 as pb
from trivet.rpc.status import code_name_of, retry_after_of, status_of
from trivet.rpc.wire import citation_to_proto
from trivet.types.answer import Answer
from trivet.types.generation import FinishReason

FINAL = "triton_final_response"
_UNFINISHED = "None"  # as Triton's backend says it
_FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


class AnswerMessages:
    """The messages of one answer."""

    def __init__(self, asked: pb.ModelInferRequest, request: InferRequest, request_id: str) -> None:
        self._common = pb.ModelInferResponse(model_name=asked.model_name, model_version=VERSION, id=asked.id)
        self._common.parameters["request_id"].string_param = request_id
        self._outputs = request.outputs
        self._before = request.before

    def whole(self, answer: Answer) -> pb.ModelInferResponse:
        """The answer as one message."""
        return self._last(answer, self._before + answer.text)

    def piece(self, text: str) -> pb.ModelStreamInferResponse:
        """Some more text."""
        response = self._response()
        response.parameters[FINAL].bool_param = False
        unfinished: dict[str, str | int] = {"finish_reason": _UNFINISHED, "citations": "[]"}
        for name in self._outputs:
            add_output(response, name, text if name == "text_output" else unfinished.get(name, 0))
        return pb.ModelStreamInferResponse(infer_response=response)

    def end(self, answer: Answer, *, pieces: bool) -> pb.ModelStreamInferResponse:
        """The last message of a stream, with the whole text unless it came in pieces."""
        response = self._last(answer, "" if pieces else self._before + answer.text)
        response.parameters[FINAL].bool_param = True
        return pb.ModelStreamInferResponse(infer_response=response)

    def _last(self, answer: Answer, text: str) -> pb.ModelInferResponse:
        response, receipt = self._response(), answer.receipt
        response.parameters["variant"].string_param = receipt.variant
        if receipt.degraded:
            response.parameters["degraded"].string_param = ",".join(receipt.degraded)
        values: dict[str, str | int] = {
            "text_output": text,
            "finish_reason": _FINISH.get(answer.finish, answer.finish.value),
            "num_input_tokens": receipt.input_tokens or 0,
            "num_output_tokens": receipt.output_tokens or 0,
        }
        for name in self._outputs:
            add_output(response, name, _citations(answer) if name == "citations" else values[name])
        return response

    def _response(self) -> pb.ModelInferResponse:
        response = pb.ModelInferResponse()
        response.CopyFrom(self._common)
        return response


def failed(asked: pb.ModelInferRequest | None, error: Exception, request_id: str) -> pb.ModelStreamInferResponse:
    """The message of a request of a stream that failed; None for one that could not be read."""
    response = pb.ModelInferResponse()
    if asked is not None:
        response.model_name, response.id = asked.model_name[:256], asked.id[:128]
    response.parameters["request_id"].string_param = request_id
    response.parameters["code"].string_param = code_name_of(error)
    response.parameters["reason"].string_param = error.reason if isinstance(error, TrivetError) else "INTERNAL"
    response.parameters[FINAL].bool_param = True
    retry_after = retry_after_of(error)
    if retry_after is not None:
        response.parameters["retry_after"].double_param = retry_after
    message = status_of(error, request_id).message
    return pb.ModelStreamInferResponse(error_message=message, infer_response=response)


def _citations(answer: Answer) -> str:
    found = [MessageToDict(citation_to_proto(one), preserving_proto_field_name=True) for one in answer.passages]
    return json.dumps(found, ensure_ascii=False)
