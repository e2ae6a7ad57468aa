"""The endpoints of the configuration: how they are asked, and what their tokenizers are compared with."""

from __future__ import annotations

from functools import partial

from trivet.backends.openai import EndpointSettings, OpenAiEndpoint
from trivet.config import Config, schema
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer


def open_endpoint(config: Config, name: str, section: schema.OpenAiBackend) -> OpenAiEndpoint:
    """The endpoint of a backend; it is asked when it is started."""
    return OpenAiEndpoint(
        EndpointSettings(
            name=name,
            url=section.url,
            served_model=section.served_model,
            tokenize=partial(_tokenize, config, name),
            read_key=partial(config.backend_key, name),
            ca_file=None if section.ca_file is None else config.resolve(section.ca_file),
            token_ids=None if section.token_ids == "auto" else section.token_ids,  # noqa: S105
            context_tokens=section.max_model_len,
            limit_field=section.limit_field,
            extra_body=section.extra_body,
            connect_timeout=section.connect_timeout,
            first_token_timeout=section.first_token_timeout,
            idle_timeout=section.idle_timeout,
            max_connections=section.max_connections,
            health_interval=section.health_interval,
            max_failures=section.max_failures,
        )
    )


def _tokenize(config: Config, name: str, text: str) -> tuple[int, ...]:
    named = config.file.backends[name].chat_template_name
    tokenizer = ChatTokenizer.load(config.model_folder(name), None, config.chat_template(name), named)
    return tuple(tokenizer.text.encode_text(text, True).ids)
