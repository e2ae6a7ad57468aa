"""What a client says, checked: messages, and values of the prompt's variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from trivet.errors import InvalidRequest, Problems
from trivet.excerpt import shortened
from trivet.prompts.template.source import PromptSource
from trivet.types.request import Message


def check_conversation(messages: Sequence[Message]) -> None:
    """Raise InvalidRequest naming each message that is wrong."""
    if not messages:
        raise InvalidRequest({"messages": "is empty, expected at least one message"})
    problems = Problems()
    calls = 0  # whose answers may follow
    for i, message in enumerate(messages):
        at = f"messages[{i}]"
        known = message.role in ("user", "assistant", "tool") or (message.role == "system" and i == 0)
        problems.expect(known, f"{at}.role", f"is {message.role!r}, expected 'user', 'assistant' or 'tool'")
        if problem := unicode_problem(message.content):
            problems.add(f"{at}.content", problem)
        for name in ("reasoning", "tool_call_id", "name"):
            if problem := unicode_problem(getattr(message, name)):
                problems.add(f"{at}.{name}", problem)
        for name, given in (("reasoning", message.reasoning), ("tool_calls", message.tool_calls)):
            problems.expect(not given or message.role == "assistant", f"{at}.{name}", "expected of an assistant alone")
        if message.role == "tool":
            problems.expect(calls > 0, f"{at}.role", "is 'tool', expected a call before it that it answers")
        calls = len(message.tool_calls) if message.role == "assistant" else calls - (message.role == "tool")
    last = messages[-1].role in ("user", "tool")
    problems.expect(last, f"messages[{len(messages) - 1}].role", "is not 'user' or 'tool', expected the last to be")
    asks = any(message.role == "user" for message in messages)
    problems.expect(asks, "messages", "has no message of the user's, expected at least one")
    problems.refuse()


def unicode_problem(text: str) -> str:
    """What keeps this from being Unicode text; empty if nothing does."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"has half a surrogate pair at character {error.start}, expected Unicode text"
    return ""


def encodable(text: str) -> str:
    """Text that an encoder takes: lone surrogates become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_variables(prompt: PromptSource, given: Mapping[str, str], also_known: Collection[str] = ()) -> dict[str, str]:
    """A value for each of the prompt's variables; those that are only `also_known` are left out.

    Raises InvalidRequest naming `variables.<name>` for missing and unknown ones.
    """
    problems = Problems()
    values = {name: variable.default for name, variable in prompt.variables.items()}
    names = sorted({*prompt.variables, *also_known})
    known = f"expected one of: {', '.join(names)}" if names else "this route's prompts have no variables"
    for name, value in given.items():
        if name not in prompt.variables:
            if name in also_known:
                continue
            problems.add(f"variables.{shortened(name, 128)}", f"unknown, {known}")
            continue
        if problem := unicode_problem(value):
            problems.add(f"variables.{name}", problem)
        values[name] = value
    for name, filled in values.items():
        problems.expect(filled is not None, f"variables.{name}", "missing, expected a value")
    problems.refuse()
    return {name: value for name, value in values.items() if value is not None}
