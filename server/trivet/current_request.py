"""What tells the request that is being served, for whatever is logged on its behalf."""

from contextvars import ContextVar

# Empty outside of requests. Tasks and threads that a request starts have their values.
CURRENT_REQUEST: ContextVar[str] = ContextVar("trivet_request_id", default="")
CURRENT_TRACE: ContextVar[str] = ContextVar("trivet_trace_id", default="")
