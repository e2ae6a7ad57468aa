"""What one endpoint is reached by, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """`url`: up to and with its version, as in `https://host/v1`. `served_model`: the name that requests ask for, of a
    model or of an adapter that the endpoint's operator has loaded.

    `read_key` gives the credential, None for none, and raises OSError or ValueError; it is called at each start.
    `token_ids`: whether prompts go as token ids, None to find out at each start. `tokenize` gives the ids that a plain
    text has by the tokenizer that prompts are made with; it blocks. `context_tokens`: None where the endpoint tells it.
    `limit_field`: what the endpoint calls the most tokens of an answer. `extra_body`: goes into each request as it is.

    Seconds: `connect_timeout` for a connection, `first_token_timeout` for the first piece of an answer, `idle_timeout`
    between two pieces, `health_interval` between two looks. After `max_failures` requests in a row that failed on the
    endpoint's side it is tried, and taken for down if that fails too.
    """

    name: str
    url: str
    served_model: str
    tokenize: Callable[[str], tuple[int, ...]]
    read_key: Callable[[], str | None] = lambda: None
    ca_file: Path | None = None
    token_ids: bool | None = None
    context_tokens: int | None = None
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    connect_timeout: float = 5.0
    first_token_timeout: float = 60.0
    idle_timeout: float = 30.0
    max_connections: int = 64
    health_interval: float = 15.0
    max_failures: int = 5

    @property
    def root(self) -> str:
        """The URL without its version: where vLLM has what is not OpenAI's."""
        return self.url.removesuffix("/v1")
