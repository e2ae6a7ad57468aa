"""A server with TLS that asks for a key: TRIVET_KEY=... tls_and_key.py ADDRESS CA_FILE ROUTE QUESTION.

CA_FILE holds the certificates (PEM) that the server's own is checked against. The key comes from the environment,
because every user of a machine can read command lines.
"""

import os
import sys
from pathlib import Path

from trivet.api.v1.inference_pb2 import GenerateRequest, Message
from trivet.client import CallFailed, Client, Target


def main(address: str, ca_file: str, route: str, question: str) -> None:
    """Ask with the key, then with a wrong one."""
    request = GenerateRequest(route=route, messages=[Message(role="user", content=question)])
    target = Target(address, key=os.environ["TRIVET_KEY"], ca_file=Path(ca_file))
    # Where the server asks for the client's certificate: cert_file=Path("own.pem"), key_file=Path("own.key").
    with Client(target, timeout=30) as client:
        answer = client.generate(request)
        print(f"{answer.text} (as tenant {answer.receipt.tenant})")
    with Client(Target(address, key="not a key", ca_file=Path(ca_file)), timeout=30) as client:
        try:
            client.generate(request)
        except CallFailed as error:
            print(f"{error.code}: {error.message}")


if __name__ == "__main__":
    main(*sys.argv[1:])
