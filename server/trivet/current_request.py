"""The id of the request that is being served, for whatever is logged on its behalf."""

from contextvars import ContextVar

# Empty outside of requests. Tasks and threads that a request starts have its value.
CURRENT_REQUEST: ContextVar[str] = ContextVar("trivet_request_id", default="")
