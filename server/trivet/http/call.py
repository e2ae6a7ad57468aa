"""What is known of an HTTP request beside its body."""

from __future__ import annotations

import asyncio
import re
import secrets

from starlette.datastructures import Headers

from trivet.errors import InvalidRequest
from trivet.rpc.call import REQUEST_ID
from trivet.rpc.messages.bounds import METADATA
from trivet.types.receipt import Receipt

TIMEOUT_HEADER = "x-trivet-timeout"
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


class HttpCall:
    """One request under way. Made when its head has arrived, on the event loop."""

    def __init__(self, headers: Headers) -> None:
        """Raises InvalidRequest for a time limit that is none."""
        self._headers = headers
        given = headers.get("x-request-id", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        self.arrived = asyncio.get_running_loop().time()
        self.deadline: float | None = None
        self.receipt: Receipt | None = None

    def read_deadline(self) -> None:
        """Take the client's own time limit from the headers; InvalidRequest if it is none."""
        given = self._headers.get(TIMEOUT_HEADER)
        if given is None:
            return
        if not _SECONDS.fullmatch(given):
            raise InvalidRequest({TIMEOUT_HEADER: "expected seconds, for example 2.5"})
        self.deadline = self.arrived + float(given)

    def metadata(self, name: str) -> str | None:
        """A header's value, by the name that gRPC's metadata has; None if absent or longer than is read."""
        value = self._headers.get(name)
        if value is None and name == "authorization" and (key := self._headers.get("x-api-key")) is not None:
            value = f"Bearer {key}"
        return value if value is None or len(value) <= METADATA[name] + 1 else value[: METADATA[name] + 1]

    def close(self, receipt: Receipt) -> None:
        """Keep the receipt: for the headers, and for the error of a failed request."""
        self.receipt = receipt

    def headers(self) -> dict[str, str]:
        """Of the response."""
        found = {"x-request-id": self.request_id}
        if self.receipt is not None and self.receipt.variant:
            found["x-trivet-variant"] = self.receipt.variant
        if self.receipt is not None and self.receipt.budget_warnings:
            found["x-trivet-budget-warning"] = "; ".join(self.receipt.budget_warnings)
        return found
