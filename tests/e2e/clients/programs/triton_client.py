"""Triton's own client over gRPC: see `told.py`. It gets addresses, not URLs."""

import asyncio
import queue
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from told import QUESTION, tell, urls

real, scripted = urls()
KEY = {"authorization": "Bearer secret-a"}


def inputs(kind: Any = triton, **more: bool) -> list[Any]:
    text = kind.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(np.array([QUESTION.encode()], dtype=np.object_))
    found = [text]
    for name, value in more.items():
        found.append(kind.InferInput(name, [1], "BOOL"))
        found[-1].set_data_from_numpy(np.array([value], dtype=bool))
    return found


def text_of(result: Any) -> str:
    return str(result.as_numpy("text_output")[0].decode())


def streamed(client: triton.InferenceServerClient, model: str, *names: str) -> dict[str, list[Any]]:
    """Results by the request's id, until each has had its last one."""
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: came.put((result, error)), headers=KEY)
    for name in names:
        client.async_stream_infer(
            model, inputs(stream=True), request_id=name, parameters={"max_tokens": 40}, enable_empty_final_response=True
        )
    found: dict[str, list[Any]] = {name: [] for name in names}
    left = set(names)
    while left:
        result, error = came.get(timeout=60)
        assert error is None, error
        response = result.get_response()
        found[response.id].append(result)
        if response.parameters["triton_final_response"].bool_param:
            left.discard(response.id)
    client.stop_stream()
    return found


async def ask() -> str:
    async with triton_aio.InferenceServerClient(real) as client:
        return text_of(await client.infer("support", inputs(triton_aio)))


def fails(client: triton.InferenceServerClient) -> list[Any]:
    try:
        client.infer("nothing", inputs())
    except triton.InferenceServerException as error:
        return [error.status(), "nothing" in str(error.message())]
    return ["did not fail"]


client, caller = triton.InferenceServerClient(real), triton.InferenceServerClient(scripted)
models = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("support")]
metadata = client.get_model_metadata("support")
whole = client.infer("support", inputs(return_finish_reason=True), parameters={"max_tokens": 40, "temperature": "0"})
pieces = streamed(client, "support", "1")["1"]
told = [bool(piece.get_response().parameters["triton_final_response"].bool_param) for piece in pieces]
both = streamed(caller, "open", "1", "2")
tell(
    models=[*models, client.is_model_ready("nothing")],
    metadata=[metadata.name, metadata.inputs[0].name, metadata.outputs[0].name],
    whole=[
        text_of(whole),
        whole.as_numpy("finish_reason")[0].decode(),
        bool(whole.get_response().parameters["request_id"].string_param),
    ],
    stream=["".join(map(text_of, pieces)), [one for one in told if one]],
    asynchronous=asyncio.run(ask()),
    two_at_once=["".join(map(text_of, both[name])) for name in ("1", "2")],
    failure=fails(client),
)
