"""An answer's text goes on from the end of its prompt as it would from the whole of it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from tokenizers.decoders import DecodeStream

from trivet.backends.outputs.answer import ENOUGH, end_of

DEMO = Tokenizer.from_file(str(Path(__file__).parents[2] / "models/demo/weights/tokenizer.json"))
PIECES = ("▁a", "▁b", "c", "▁", "<0xE2>", "<0x82>", "<0xAC>", "d▁")  # the bytes are those of "€"
SPACED = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate((*PIECES, "<s>"))}, "c"))
SPACED.decoder = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)
SPACED.add_special_tokens(["<s>"])


def written(tokenizer: Tokenizer, before: list[int], answer: list[int]) -> list[str | None]:
    """Token by token, up to the first one that it cannot go on from: vLLM begins anew there."""
    stream = DecodeStream(before, True)
    texts = []
    for one in answer:
        try:
            texts.append(stream.step(tokenizer, one))
        except Exception as problem:
            return [*texts, str(problem).partition(".")[0]]
    return texts


def ids_of(tokenizer: Tokenizer, least: int, most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, tokenizer.get_vocab_size() - 1), min_size=least, max_size=most)


@given(prompt=ids_of(DEMO, ENOUGH[0], 400), answer=ids_of(DEMO, 1, 20))
def test_of_the_demos_model(prompt: list[int], answer: list[int]) -> None:
    end = list(end_of(prompt, DEMO, True))
    assert written(DEMO, end, answer) == written(DEMO, prompt, answer)


@given(prompt=ids_of(SPACED, ENOUGH[0], 400), answer=ids_of(SPACED, 1, 20))
def test_of_one_with_spaces_before_words_and_bytes(prompt: list[int], answer: list[int]) -> None:
    end = list(end_of(prompt, SPACED, True))
    assert written(SPACED, end, answer) == written(SPACED, prompt, answer)


def test_an_end_without_text_is_no_end() -> None:
    special, word = len(PIECES), 0
    assert end_of([word] * 400, SPACED, True) == [word] * ENOUGH[0]
    assert end_of([word] * 100 + [special] * 100, SPACED, True) == [word] * 100 + [special] * 100
    assert len(end_of([word] * 300 + [special] * 100, SPACED, True)) == ENOUGH[1]
    assert end_of([word] * 8, SPACED, True) == [word] * 8
