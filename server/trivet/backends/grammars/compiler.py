"""xgrammar's compiler without PyTorch and transformers: a fifth of a second to load instead of two and more.

Its Python package imports both; what compiles is a native library behind `tvm_ffi`, which takes PyTorch for optional.
Source: xgrammar 0.2.8. For a process of its own alone: importing this keeps PyTorch out of the process for good.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_STEPS = 64
_DEEP_STEPS = 300
_LEAVING = (0.25, 0.5, 0.5, 1.0)
_WINDOW = 32
_LONG = 4  # bytes of a token that gets ahead
_ENDS = frozenset(b'",]}')  # what a text, a number, a list and an object end with


Words = npt.NDArray[np.uint32]


class DeadEnd(Exception):
    """The grammar came to where no token is allowed."""


def load_library() -> Any:
    """The library's classes (`TokenizerInfo`, `GrammarCompiler`, `GrammarMatcher`)."""
    for name in ("torch", "ml_dtypes"):
        sys.modules[name] = None  # type: ignore[assignment]  # an ImportError for who tries
    spec = find_spec("tvm_ffi")
    if spec is None or spec.origin is None:
        raise ImportError("tvm_ffi is not installed")
    package = types.ModuleType("xgrammar")
    package.__path__ = [str(Path(spec.origin).parents[1] / "xgrammar")]
    sys.modules["xgrammar"] = package
    from xgrammar import load_binding  # noqa: F401  # registers the classes
    from xgrammar.tvm_ffi_binding import _ffi_api

    return _ffi_api


class GrammarTrial:
    """Compiles as vLLM's engine does, with `disable_any_whitespace`, for one tokenizer; one thread, no cache."""

    def __init__(self, vocabulary: str) -> None:
        """`vocabulary`: xgrammar's own JSON of a tokenizer (`TokenizerInfo.serialize_json`)."""
        self._library = load_library()
        self._tokenizer = self._library.TokenizerInfo.deserialize_json(vocabulary)
        texts = [bytes(text) for text in self._tokenizer.decoded_vocab()]
        self._size = int(self._tokenizer.vocab_size())
        self._all = _words([True] * self._size)
        self._ends = _words([not _ENDS.isdisjoint(text) for text in texts] + [False] * (self._size - len(texts)))
        self._long = _words([len(text) >= _LONG for text in texts] + [False] * (self._size - len(texts)))
        self._compiler = self._library.GrammarCompiler(self._tokenizer, 1, False, -1)

    def compile(self, schema: str) -> Any:
        """The compiled grammar of a schema's JSON text; raises what the library raises."""
        return self._compiler.compile_json_schema(schema, False, None, (",", ":"), True, None, False)

    def seconds_a_step(self, grammar: Any) -> float:
        """CPU seconds that a token takes, its mask above all, on average over the worst few that follow each other.

        Some answers are begun: one of tokens drawn blindly, which stays long in a first text, and some that leave each
        value soon, since what is expensive may come after something that is cheap. Raises DeadEnd where no token is
        allowed.
        """
        first = self._walk(grammar, _STEPS, None, 0)
        deep = [self._walk(grammar, _DEEP_STEPS, leaving, seed) for seed, leaving in enumerate(_LEAVING)]
        return max(sum(first) / max(1, len(first)), *(_worst(seconds) for seconds in (first, *deep)))

    def _walk(self, grammar: Any, most: int, leaving: float | None, seed: int) -> list[float]:
        """Of each of up to `most` tokens of an answer. `leaving`: the share of tokens that end a value if they can, or
        are as long as can be; what is written in one way alone is passed over. None: tokens are drawn blindly."""
        from tvm_ffi import from_dlpack

        matcher = self._library.GrammarMatcher(grammar, None, False, -1, None)
        mask = np.zeros((1, -(-self._size // 32)), dtype=np.int32)
        shared = from_dlpack(mask)
        draws = np.random.default_rng(seed)
        seconds: list[float] = []
        while len(seconds) < most and not matcher.is_terminated():
            if leaving is not None and (forced := matcher.find_jump_forward_string()):
                matcher.accept_string(forced, False)
            started = time.process_time()
            unbounded = not matcher.fill_next_token_bitmask(shared, 0, False)
            filled = time.process_time()
            words = self._all if unbounded else mask[0].view(np.uint32) & self._all
            token = self._drawn(words, draws, leaving)
            chosen = time.process_time()
            if token < 0 or not matcher.accept_token(token, False):
                if leaving is None:
                    raise DeadEnd
                break  # what was passed over may end within what only a longer token could have written
            seconds.append(filled - started + time.process_time() - chosen)
        return seconds

    def _drawn(self, allowed: Words, draws: np.random.Generator, leaving: float | None) -> int:
        """One of the tokens whose bits are set; -1 if none is."""
        if leaving is None:
            tokens = np.flatnonzero(_bits(allowed))
            return int(tokens[draws.integers(len(tokens))]) if len(tokens) else -1
        wanted = (self._ends, self._long) if draws.random() < leaving else ()
        for kind in (*wanted, self._all):  # of one word of 32 tokens: quick, and even enough here
            words = np.flatnonzero(allowed & kind)
            if len(words):
                word = words[draws.integers(len(words))]
                tokens = np.flatnonzero(_bits((allowed & kind)[word : word + 1]))
                return int(32 * word + tokens[draws.integers(len(tokens))])
        return -1


def _bits(words: Words) -> np.ndarray:
    return np.unpackbits(words.view(np.uint8), bitorder="little")


def _words(chosen: Sequence[bool]) -> Words:
    """A bit for each token, as the library's masks have them."""
    bits = np.zeros(-(-len(chosen) // 32) * 32, dtype=np.uint8)
    bits[: len(chosen)] = chosen
    return np.packbits(bits, bitorder="little").view(np.uint32)


def _worst(seconds: Sequence[float]) -> float:
    """The mean of those `_WINDOW` that take longest together. A short answer is one with nothing after it: one that
    leaves each value at once has more of what is expensive than a real one."""
    return float(np.convolve(seconds, np.ones(_WINDOW)).max()) / _WINDOW if seconds else 0.0
