"""Calls that no server answered: gRPC's account of them in plain words, and what to do about each."""

from __future__ import annotations

import re
from urllib.parse import unquote

from trivet.client import CallFailed

_NO_CONNECTION = re.compile(
    r"failed to connect to all addresses; last error: \w+: (?:ipv[46]:(?P<address>\S+): )?"
    r"(?:Failed to connect to remote host: )?(?P<why>.*)",
    re.DOTALL,
)
_NO_SUCH_HOST = re.compile(r"errors resolving (?P<address>\S+): .*: (?P<why>[^:\]]+)\]", re.DOTALL)
_WITHOUT_HINT = "Is a server running there? Start one with `trivet serve`, or name it with {option}."
# What the reason contains, and what it means for whoever named the address.
_HINTS = {
    "HTTP/2": "Something else than gRPC is served there, perhaps the metrics: name the gRPC address with {option}.",
    "Socket closed": "If the server there uses TLS, name its certificate authority with --ca-file.",
    "CERTIFICATE_VERIFY_FAILED": "The server's certificate was not issued by the authority in --ca-file "
    "(or TRIVET_CA_FILE).",
    "Hostname Verification": "The server's certificate is for another host: name the one that it is for with {option}.",
    "WRONG_VERSION_NUMBER": "The server there does not use TLS: leave out --ca-file (and TRIVET_CA_FILE).",
}


def plain_message(error: CallFailed) -> str:
    """The error's message; where the connection failed, the address and the reason alone."""
    match = _NO_CONNECTION.fullmatch(error.message) or _NO_SUCH_HOST.fullmatch(error.message)
    if match is None:
        return error.message
    address = f" to {unquote(match['address'])}" if match["address"] else ""
    return f"cannot connect{address}: {match['why']}"


def hint(error: CallFailed, option: str) -> str | None:
    """What to do about a call that came to no server of ours, or to the wrong listener; None for any other failure.

    `option`: the options that name the addresses of the command's calls.
    """
    if error.reason:
        return None  # a server of ours answered, and its message says what to do
    if error.code == "UNIMPLEMENTED":
        return f"Clients and operators have addresses of their own: is the one that {option} names the other one?"
    if error.code != "UNAVAILABLE":
        return None
    found = (text for sign, text in _HINTS.items() if sign in error.message)
    return next(found, _WITHOUT_HINT).format(option=option)
