"""Where in a prompt an activated LoRA is invoked: in words of the chat template's own, or after them.

These are the words that end the prompt, or those that open the last turn of a user. What users and documents say can
write neither, for it never becomes a control token. So the adapter's invocation is the last occurrence of its ids in
the prompt, which is the one that counts in PEFT, and nothing that anybody wrote can take its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trivet.errors import FailedPrecondition
from trivet.prompts.template.source import InvocationPlace
from trivet.types.prompt import AssembledPrompt

MOST_IDS = 64  # of any adapter: more are refused before it is loaded
_WRITES = {
    InvocationPlace.GENERATION: "to let the assistant speak (it ends a prompt with {})",
    InvocationPlace.QUESTION: "to open a user's turn (before it stands {})",
}


def invoked(
    prompt: AssembledPrompt, words: tuple[int, int] | None, invocation: Sequence[int], place: InvocationPlace
) -> AssembledPrompt:
    """The prompt with the token that its adapter acts from.

    `words`: where those of the template's own begin and end that may invoke it, as ids from the prompt's end. Raises
    what `begin_of` raises.
    """
    if not invocation:
        return prompt
    if place is InvocationPlace.APPENDED:
        return replace(prompt, token_ids=(*prompt.token_ids, *invocation), activated_from=len(prompt.token_ids))
    size = len(prompt.token_ids)
    begin, end = (0, 0) if words is None else words
    found = begin_of(prompt.token_ids[size - begin : size - end], invocation, place)
    return replace(prompt, activated_from=size - begin + found)


def begin_of(words: Sequence[int], invocation: Sequence[int], place: InvocationPlace) -> int:
    """Where in the template's words the adapter's invocation begins; raises FailedPrecondition if it is not there."""
    size = len(invocation)
    for at in range(len(words) - size, -1, -1):
        if tuple(words[at : at + size]) == tuple(invocation):
            return at
    others = " or ".join(f"`invocation: {one.value}`" for one in InvocationPlace if one is not place)
    raise FailedPrecondition(
        f"the adapter's invocation {list(invocation)} is not in what the model's chat template writes "
        f"{_WRITES[place].format(list(words[-MOST_IDS:]))}; expected an adapter that was trained with it, or {others} "
        "in the prompt's front matter"
    )
