"""A stream with its citations and its receipt; errors with what is wrong: threads.py ADDRESS ROUTE QUESTION."""

import sys

from trivet.api.v1.inference_pb2 import GenerateRequest, Message
from trivet.client import CallFailed, Client, Retry, Target


def main(address: str, route: str, question: str) -> None:
    """Ask once, then ask in a way that the server refuses."""
    request = GenerateRequest(route=route, messages=[Message(role="user", content=question)])
    # With a key and TLS: Target(address, key="...", ca_file=Path("ca.pem")).
    with Client(Target(address), timeout=30, retry=Retry(attempts=3)) as client:
        with client.generate_stream(request) as events:  # leaving the block early cancels the call
            for event in events:
                if event.HasField("delta"):
                    print(event.delta.text, end="", flush=True)
                else:
                    print()
                    for number, citation in enumerate(event.final.citations, 1):
                        print(f"[{number}] {citation.document_id}: {citation.title}")
                    print(f"{event.final.receipt.output_tokens} tokens, request {event.final.receipt.request_id}")
        try:
            client.generate(GenerateRequest(route=route))  # no message
        except CallFailed as error:
            print(f"{error.reason}: {error.fields}")


if __name__ == "__main__":
    main(*sys.argv[1:])
