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

_STEPS = 64
_DEEP_STEPS = 500
_LEAVING = (0.25, 0.5, 0.5, 1.0)
_WINDOW = 16
_ENDS = frozenset(b'",]}')  # what a text, a number, a list and an object end with


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
        self._lengths = np.array([*map(len, texts)], dtype=np.int64)
        self._ends = np.array([not _ENDS.isdisjoint(text) for text in texts])
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
        walks = [self._walk(grammar, _STEPS, None, 0)]
        walks += [self._walk(grammar, _DEEP_STEPS, leaving, seed) for seed, leaving in enumerate(_LEAVING)]
        return max(worst_mean(seconds) for seconds in walks)

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
            bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: self._size]
            allowed = np.arange(self._size) if unbounded else np.flatnonzero(bits)
            token = self._drawn(allowed, draws, leaving) if len(allowed) else -1
            chosen = time.process_time()
            if token < 0 or not matcher.accept_token(token, False):
                if leaving is None:
                    raise DeadEnd
                break  # what was passed over may end within what only a longer token could have written
            seconds.append(filled - started + time.process_time() - chosen)
        return seconds

    def _drawn(self, allowed: np.ndarray, draws: np.random.Generator, leaving: float | None) -> int:
        if leaving is not None and draws.random() < leaving:
            ends = allowed[self._ends[allowed]]
            if not len(ends):
                return int(allowed[np.argmax(self._lengths[allowed])])
            allowed = ends
        return int(allowed[draws.integers(len(allowed))])


def worst_mean(seconds: Sequence[float]) -> float:
    """The largest mean of `_WINDOW` numbers that follow each other, or of all if there are fewer."""
    if len(seconds) <= _WINDOW:
        return sum(seconds) / max(1, len(seconds))
    sums = np.convolve(seconds, np.ones(_WINDOW), "valid")
    return float(sums.max()) / _WINDOW
