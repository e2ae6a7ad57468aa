"""How much of each field a node takes: checked before a message is looked into."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trivet.engine.v1 import engine_pb2
from trivet.errors import Problems

MAX_ENGINE_NAME = 160
MAX_HOLDER = 64
MAX_PART = 64  # characters of an adapter's name, and of its version
MAX_REQUEST_ID = 256
MAX_SALT = 256
MAX_SCHEMA = 65_536
MAX_OWNER = 128
MAX_STOPS, MAX_STOP = 64, 1024
MAX_TOOLS, MAX_TOOL = 64, 20_000
MAX_TOP_LOGPROBS = 20
MAX_TOOL_NAME = 128
MAX_VARIABLES = 65_536
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_start(start: engine_pb2.Start, context_tokens: int) -> None:
    """Raise InvalidRequest with what is out of its bounds; the engine checks the rest."""
    problems = Problems()
    _length(problems, "request_id", start.request_id, MAX_REQUEST_ID)
    _length(problems, "adapter", start.adapter, MAX_ENGINE_NAME)
    _length(problems, "cache_salt", start.cache_salt, MAX_SALT)
    _length(problems, "json_schema", start.json_schema, MAX_SCHEMA)
    _length(problems, "schema_owner", start.schema_owner, MAX_OWNER)
    _length(problems, "template_variables", start.template_variables, MAX_VARIABLES)
    _length(problems, "required_tool", start.required_tool, MAX_TOOL_NAME)
    count = len(start.token_ids)
    problems.expect(count > 0, "token_ids", "expected at least one")
    problems.expect(count <= context_tokens, "token_ids", f"expected at most {context_tokens:,}, got {count:,}")
    problems.expect(
        start.unsalted_tokens <= count, "unsalted_tokens", f"expected at most {count:,}, got {start.unsalted_tokens:,}"
    )
    problems.expect(start.HasField("sampling"), "sampling", "required field is missing")
    problems.expect(start.sampling.max_tokens > 0, "sampling.max_tokens", "expected at least 1")
    top = start.sampling.top_logprobs
    problems.expect(0 <= top <= MAX_TOP_LOGPROBS, "sampling.top_logprobs", f"expected 0 to {MAX_TOP_LOGPROBS}")
    stops = start.sampling.stop
    _count(problems, "sampling.stop", stops, MAX_STOPS)
    for stop in stops[:MAX_STOPS]:
        _length(problems, "sampling.stop", stop, MAX_STOP)
    _count(problems, "tools", start.tools, MAX_TOOLS)
    for tool in start.tools[:MAX_TOOLS]:
        _length(problems, "tools", tool.name + tool.description + tool.parameters, MAX_TOOL)
    problems.refuse()


def check_load(request: engine_pb2.LoadAdapterRequest) -> None:
    """Raise InvalidRequest with what is out of its bounds."""
    problems = Problems()
    for field in ("name", "version"):
        value = getattr(request, field)
        _length(problems, field, value, MAX_PART)
        problems.expect(bool(_PART.fullmatch(value)), field, "expected letters, digits, '.', '_' and '-'")
    problems.expect(bool(_DIGEST.fullmatch(request.digest)), "digest", "expected 64 hexadecimal digits")
    _length(problems, "holder", request.holder, MAX_HOLDER)
    problems.refuse()


def check_unload(request: engine_pb2.UnloadAdapterRequest) -> None:
    """Raise InvalidRequest with what is out of its bounds."""
    problems = Problems()
    _length(problems, "engine_name", request.engine_name, MAX_ENGINE_NAME)
    _length(problems, "holder", request.holder, MAX_HOLDER)
    problems.refuse()


def check_watch(request: engine_pb2.WatchRequest) -> None:
    """Raise InvalidRequest with what is out of its bounds."""
    problems = Problems()
    _length(problems, "holder", request.holder, MAX_HOLDER)
    interval = request.interval
    problems.expect(interval == 0 or 0.1 <= interval <= 60, "interval", "expected 0.1 to 60 seconds, or 0")
    problems.refuse()


def _length(problems: Problems, field: str, value: str, most: int) -> None:
    problems.expect(len(value) <= most, field, f"expected at most {most:,} characters, got {len(value):,}")


def _count(problems: Problems, field: str, values: Sequence[object], most: int) -> None:
    problems.expect(len(values) <= most, field, f"expected at most {most:,}, got {len(values):,}")
