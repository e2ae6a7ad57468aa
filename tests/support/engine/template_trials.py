"""Conversations that are put through a chat template by Trivet and by transformers, and whether both say the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from tests.support.engine.chat_families import FIXED_DATE, make_family
from trivet.errors import ConfigError, InvalidRequest
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.assembly.tool_messages import other_fields, tool_schemas
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.prompts.tokenizer.tokenizer_files import TokenizerFiles, read_tokenizer_files
from trivet.types.request import Message, Tool, ToolCall
from trivet.types.variant import VersionRef

_MARKER = re.compile(r"<[|｜/]?[A-Za-z][\w▁.:/-]*[|｜]?>|<[|｜][^<>\n'\"{}]{1,40}[|｜]>|\[/?[A-Z_]{2,24}\]")
_TOKENS = {"bos_token": "<|bos|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": "<|unk|>"}
TOOLS = (
    Tool(
        "find_bicycle",
        "Finds a bicycle that is free.",
        {
            "type": "object",
            "properties": {"day": {"type": "string", "description": "The day."}, "gears": {"type": "integer"}},
            "required": ["day"],
        },
    ),
)
SYSTEM = "You rent bicycles. Answer with one word."


@dataclass(frozen=True)
class Trial:
    """One conversation, the system text before it, and what else the template is given."""

    name: str
    messages: tuple[Message, ...]
    system: str = SYSTEM
    tools: tuple[Tool, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)


def _said(*contents: str) -> tuple[Message, ...]:
    return tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(contents))


_CALLED = (
    Message("user", "Is one free on Sunday?"),
    Message("assistant", "", tool_calls=(ToolCall("find_bicycle", {"day": "Sunday", "gears": 7}, "call00001"),)),
    Message("tool", '{"free": 3}', tool_call_id="call00001", name="find_bicycle"),
)
TRIALS = (
    Trial("question", _said("When do you open?")),
    Trial("conversation", _said("Hello\n\nthere", "Good day.", " Is it open? ", "At 9 & 10 <b>", "Thanks: 12 %")),
    Trial("thought", _said("Hello", "<think>\nA guest greets.\n</think>\n\nGood day.", "Open?")),
    Trial(
        "reasoning", (Message("user", "Hi"), Message("assistant", "Good day.", "A guest."), Message("user", "Open?"))
    ),
    Trial("no_think", _said("When do you open? /no_think")),
    Trial("switch in the system text", _said("When do you open?"), system="You rent bicycles. /no_think"),
    Trial("thinking off", _said("Open?"), variables={"enable_thinking": False, "thinking": False}),
    Trial("effort", _said("Open?"), variables={"reasoning_effort": "high", "enable_thinking": True}),
    Trial("tools", _said("Is one free on Sunday?"), tools=TOOLS),
    Trial("tool call", _CALLED, tools=TOOLS),
    Trial("after a tool call", (*_CALLED, Message("assistant", "Yes, 3."), Message("user", "Thanks")), tools=TOOLS),
)


def outcome(files: TokenizerFiles, reference: PreTrainedTokenizerFast, trial: Trial) -> str:
    """ "identical", "different", "refused" by Trivet alone, or "impossible": by transformers too."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": trial.system}]
    messages += [{"role": m.role, "content": m.content, **other_fields(m)} for m in trial.messages]
    prompt = PromptSource(
        VersionRef("p", "1"), Path("1.md"), (Turn("system", (trial.system,)),), template_variables=trial.variables
    )
    made: Sequence[int] | None = None
    with suppress(ConfigError, InvalidRequest):
        made = (
            PromptAssembler(prompt, ChatTokenizer(files, lambda: FIXED_DATE))
            .assemble(trial.messages, context_tokens=10**6, max_tokens=1, tools=trial.tools)
            .token_ids
        )
    tried = (_by_transformers(reference, form, trial) for form in _forms(messages))
    wanted = next((ids for ids in tried if ids is not None), None)
    if made is None:
        return "impossible" if wanted is None else "refused"
    return "identical" if list(made) == wanted else "different"


def _forms(messages: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The same said in other ways, of which a template may know but one: contents in parts, no system text."""
    for whole in (list(messages), _without_system(messages)):
        yield whole
        yield [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in whole]


def _by_transformers(
    reference: PreTrainedTokenizerFast, messages: list[dict[str, Any]], trial: Trial
) -> list[int] | None:
    """None where the template raises, or where nothing of the system text or the question comes out."""
    tools = list(tool_schemas(trial.tools)) or None
    told = {"tools": tools, "add_generation_prompt": True, "strftime_now": FIXED_DATE.strftime, **trial.variables}
    try:
        text = reference.apply_chat_template(messages, tokenize=False, **told)
    except Exception:  # templates raise whatever they compute
        return None
    asked = next(message.content for message in reversed(trial.messages) if message.role == "user")
    heard = all(part[:4] in text for part in (trial.system, asked.strip()))
    return list(reference.apply_chat_template(messages, return_dict=False, **told)) if heard else None


def _without_system(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As for a template that knows no system text: it stands in the first message."""
    system, first, *others = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *others]


@cache
def _base() -> Tokenizer:
    """Without the markers of its family that not every template knows."""
    with TemporaryDirectory() as folder:
        document = json.loads(make_family("chatml", Path(folder)).reference.backend_tokenizer.to_str())
    special = [token for token in document["added_tokens"] if token["special"]]
    return Tokenizer.from_str(json.dumps({**document, "added_tokens": special}))


def with_tokens_of(template: str, folder: Path) -> tuple[TokenizerFiles, PreTrainedTokenizerFast]:
    """A small tokenizer that knows every marker that the template writes, as its model's would; kept in `folder`."""
    tokenizer = Tokenizer.from_str(_base().to_str())
    markers = sorted({*_MARKER.findall(template), *_TOKENS.values()})
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in markers])
    reference = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **_TOKENS)
    reference.save_pretrained(folder)
    return read_tokenizer_files(folder), reference


def outcomes(template: str, folder: Path) -> Counter[str]:
    """How often each outcome came, over all trials; by outcome alone, and as "outcome: trial" for what is not well."""
    counted: Counter[str] = Counter()
    for trial, came in trials_of(template, folder):
        counted[came] += 1
        if came in ("different", "refused"):
            counted[f"{came}: {trial.name}"] += 1
    return counted


def trials_of(template: str, folder: Path) -> Iterator[tuple[Trial, str]]:
    """Each trial with its outcome."""
    files, reference = with_tokens_of(template, folder)
    for trial in TRIALS:
        yield trial, outcome(files, reference, trial)
