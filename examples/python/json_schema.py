"""An answer in a fixed JSON form, and how a schema is refused: json_schema.py ADDRESS ROUTE QUESTION."""

import json
import sys
from typing import Any

from trivet.api.v1.inference_pb2 import GenerateRequest, Message
from trivet.api.v1.receipt_pb2 import FINISH_REASON_LENGTH
from trivet.client import CallFailed, Client, Target

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 80}, "certain": {"type": "boolean"}},
    "required": ["answer", "certain"],
}


def main(address: str, route: str, question: str) -> None:
    """Ask for JSON, then with a keyword that the engine could not enforce."""
    request = GenerateRequest(route=route, messages=[Message(role="user", content=question)], max_tokens=100)
    request.json_schema.update(SCHEMA)
    with Client(Target(address), timeout=30) as client:
        answer = client.generate(request)
        if answer.finish_reason == FINISH_REASON_LENGTH:  # max_tokens cut it: it is not whole
            print("cut:", answer.text)
        else:
            print("certain:", json.loads(answer.text)["certain"])
        request.json_schema.Clear()
        request.json_schema.update({"type": "array", "items": {"type": "string"}, "uniqueItems": True})
        try:
            client.generate(request)
        except CallFailed as error:
            print(error.fields["json_schema"])


if __name__ == "__main__":
    main(*sys.argv[1:])
