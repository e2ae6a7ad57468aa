"""What an error tells, and what to do about it: errors.py ADDRESS ROUTE QUESTION."""

import sys

from trivet.api.v1.inference_pb2 import GenerateRequest, GenerateResponse, Message
from trivet.client import CallFailed, Client, Retry, Target


def ask(client: Client, request: GenerateRequest) -> GenerateResponse | None:
    """The answer, or None where asking again is of no use now."""
    try:
        return client.generate(request)
    except CallFailed as error:
        print(f"{error.code}, reason {error.reason or '(none)'}: {error.message}")
        for field, problem in error.fields.items():  # the request is wrong: change it
            print(f"  field {field}: {problem}")
        for subject, bound in error.quota.items():  # the server is full, or this tenant is
            print(f"  bound {subject}: {bound}")
        if error.retry_after is not None:  # `Retry` has waited so long already, within the deadline
            print(f"  may be tried again after {error.retry_after:g} s")
        if error.receipt is not None and error.receipt.HasField(
            "output_tokens"
        ):  # what failed is accounted for as well
            print(f"  account: {error.receipt.output_tokens} tokens were generated")
        if error.request_id:  # the id by which the server's log and receipts know the call
            print("  the call has a request id")
        return None


def main(address: str, route: str, question: str) -> None:
    """Ask three times: well, without messages, and for a route that is not there."""
    messages = [Message(role="user", content=question)]
    with Client(Target(address), timeout=30, retry=Retry(attempts=3, longest_wait=5)) as client:
        for request in (
            GenerateRequest(route=route, messages=messages),
            GenerateRequest(route=route),
            GenerateRequest(route="no-such-route", messages=messages),
        ):
            answer = ask(client, request)
            if answer is not None:
                print("answer:", answer.text)


if __name__ == "__main__":
    main(*sys.argv[1:])
