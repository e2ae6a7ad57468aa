"""A server's services and a call from reflection alone, as grpcurl does it: reflection.py ADDRESS ROUTE QUESTION.

Needs grpcio-reflection. It knows none of Trivet's messages: the server itself describes them.
"""

import json
import sys
from collections.abc import Callable

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main(address: str, route: str, question: str) -> None:
    """List the services and the methods of one, then call a method with JSON."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        print("services:", *sorted(database.get_services()))
        service = DescriptorPool(database).FindServiceByName("trivet.api.v1.Inference")
        print("methods:", *(method.name for method in service.methods))
        method = service.methods_by_name["Generate"]
        call: Callable[..., Message] = channel.unary_unary(
            f"/{service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        asked = {"route": route, "messages": [{"role": "user", "content": question}]}
        answer = call(json_format.ParseDict(asked, GetMessageClass(method.input_type)()), timeout=30)
        print(json.dumps(json_format.MessageToDict(answer)["text"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
