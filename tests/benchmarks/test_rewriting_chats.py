"""The chats that teach a model to write follow-ups: what is asked for is the question about the topic."""

from __future__ import annotations

import re

from benchmarks.retrieval_quality.rewriting_chats import INSTRUCTION, PRONOUNS, Said, chats

SAID = [
    Said("The daemon reads its socket at the start.", "daemon", "socket"),
    Said("A mirror keeps the archive of all packages.", "mirror", "archive"),
    Said("Every partition has a label of its own.", "partition", "label"),
]
_PRONOUN = re.compile(rf"\b({'|'.join(set(PRONOUNS))})\b", re.IGNORECASE)


def test_a_topic_that_was_named_stands_for_its_pronoun() -> None:
    made = [[turn["content"] for turn in chat["messages"]] for chat in chats(SAID, 300, 1)]
    unchanged = 0
    for instruction, shown, alone in made:
        assert instruction == INSTRUCTION
        conversation, _, asked = shown.rpartition("\n\nLast question: ")
        [topic] = [one.topic for one in SAID if one.topic in alone or one.topic.capitalize() in alone]
        assert topic in conversation
        if topic in asked.lower():
            unchanged += 1
            assert asked == alone[0].upper() + alone[1:]
        else:
            assert _PRONOUN.search(asked), asked
    assert 5 <= unchanged <= 60
    assert made == [[turn["content"] for turn in chat["messages"]] for chat in chats(SAID, 300, 1)]
