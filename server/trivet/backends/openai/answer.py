"""One answer out of its events: text, counts and the end, for both forms that endpoints stream in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trivet.backends.openai.event_lines import EventLines
from trivet.backends.openai.failures import failure_in_stream
from trivet.errors import GenerationFailed
from trivet.excerpt import quote
from trivet.types.generation import Chunk, FinishReason

DONE = b"[DONE]"
_FINISHES = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
_CHARACTERS_OF_TOKEN = 256  # more than any vocabulary has in one
_SPARE_CHARACTERS = 64 << 10
_MOST = 1 << 31


class Answer:
    """Feed it what comes. Counts of tokens are the endpoint's where it tells them; until then, and where it never does,
    the prompt's is that of our own tokenizer, and each piece of text is taken for a token.

    The chunk with `finish` comes from `end` alone: what it used is told after an answer's last words.
    """

    def __init__(self, prompt_tokens: int, exact_prompt: bool, max_tokens: int) -> None:
        """`exact_prompt`: the prompt went out as so many token ids."""
        self._lines = EventLines()
        self._prompt_tokens = prompt_tokens
        self._exact_prompt = exact_prompt
        self._room = max_tokens * _CHARACTERS_OF_TOKEN + _SPARE_CHARACTERS
        self._counted = 0
        self._began = False
        self._finish: FinishReason | None = None
        self._usage: Mapping[str, Any] | None = None
        self._running = False  # usage came with the last piece of text
        self.done = False

    @property
    def began(self) -> bool:
        """Some of it has come."""
        return self._began

    @property
    def finished(self) -> bool:
        """All of its text has come."""
        return self._finish is not None

    def feed(self, piece: bytes, now: float) -> list[Chunk]:
        """What these bytes bring: the first piece of the answer alone, the others together.

        Raises ValueError for what is no event, GenerationFailed for an answer without bounds, and what the endpoint
        says of its own failure.
        """
        pieces: list[tuple[str, str, int]] = []
        for data in self._lines.feed(piece):
            if data == DONE:
                self.done = True
                break
            if data and (read := self._take(data)) is not None:
                pieces.append(read)
        chunks = []
        if pieces and not self._began:
            self._began = True
            chunks.append(self._chunk(pieces[:1], now, first=True))
            pieces = pieces[1:]
        if pieces:
            chunks.append(self._chunk(pieces, now))
        return chunks

    def end(self, now: float) -> Chunk:
        """The last chunk, once `finished`."""
        usage = self._usage or {}
        answer, prompt = _count(usage, "completion_tokens"), _count(usage, "prompt_tokens")
        details = usage.get("prompt_tokens_details")
        cached = _count(details, "cached_tokens") if isinstance(details, dict) else None
        of_answer = usage.get("completion_tokens_details")
        thought = _count(of_answer, "reasoning_tokens") if isinstance(of_answer, dict) else None
        prompt = self._prompt_tokens if prompt is None or self._exact_prompt else prompt
        return Chunk(
            text="",
            tokens=0,
            engine_at=now,
            finish=self._finish,
            input_tokens=prompt,
            cached_tokens=None if cached is None else min(cached, prompt),
            reasoning_tokens=thought,
            answer_tokens=answer,
            estimated=answer is None or (not usage and not self._exact_prompt),
        )

    def _chunk(self, pieces: list[tuple[str, str, int]], now: float, first: bool = False) -> Chunk:
        return Chunk(
            text="".join(text for text, _, _ in pieces),
            tokens=sum(tokens for _, _, tokens in pieces),
            engine_at=now,
            input_tokens=self._prompt_tokens if first else None,
            reasoning="".join(reasoning for _, reasoning, _ in pieces),
            estimated=not (self._exact_prompt and self._running),
        )

    def _take(self, data: bytes) -> tuple[str, str, int] | None:
        """One event: text, thought and tokens, None if it has neither."""
        event = _object(json.loads(data))
        if (error := event.get("error")) is not None:
            raise failure_in_stream(error)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        choices = event.get("choices") or []
        if not isinstance(choices, list):
            raise ValueError("an event has choices that are no list")
        if not choices:
            return None
        choice = _object(choices[0])
        text, reasoning = _texts(choice)
        self._room -= len(text) + len(reasoning)
        if self._room < 0:
            raise GenerationFailed("the endpoint sends more than it was asked for")
        told = _count(usage, "completion_tokens") if isinstance(usage, dict) else None
        self._running = told is not None
        tokens = bool(text or reasoning) if told is None else max(0, told - self._counted)
        self._counted += tokens
        self._ended(choice.get("finish_reason"))
        return (text, reasoning, int(tokens)) if text or reasoning or tokens else None

    def _ended(self, reason: Any) -> None:
        if reason is None:
            return
        finish = _FINISHES.get(reason) if isinstance(reason, str) else None
        if finish is None:
            raise GenerationFailed(f"the endpoint ended the answer with {quote(reason)}")
        self._finish = finish


def _texts(choice: Mapping[str, Any]) -> tuple[str, str]:
    """An answer's text and thought, of `/completions` or of `/chat/completions`."""
    if "delta" not in choice:
        return _text(choice.get("text")), ""
    delta = _object(choice["delta"] or {})
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    return _text(delta.get("content")), _text(thought)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("an event has something else than text in it")
    return value.encode("utf-8", "replace").decode()  # JSON may bring half surrogate pairs


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an event is no object")
    return value


def _count(usage: Mapping[str, Any] | None, name: str) -> int | None:
    value = None if usage is None else usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None
