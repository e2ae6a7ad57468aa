"""xgrammar's compiler without PyTorch and transformers: a fifth of a second to load instead of two and more.

Its Python package imports both; what compiles is a native library behind `tvm_ffi`, which takes PyTorch for optional.
Source: xgrammar 0.2.8. For a process of its own alone: importing this keeps PyTorch out of the process for good.
"""

from __future__ import annotations

import sys
import time
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

_STEPS = 64


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
        self._compiler = self._library.GrammarCompiler(self._tokenizer, 1, False, -1)

    def compile(self, schema: str) -> Any:
        """The compiled grammar of a schema's JSON text; raises what the library raises."""
        return self._compiler.compile_json_schema(schema, False, None, (",", ":"), True, None, False)

    def seconds_a_step(self, grammar: Any) -> float:
        """CPU seconds that a token takes, its mask above all, on average over the beginning of one answer.

        Raises DeadEnd where no token is allowed.
        """
        from tvm_ffi import from_dlpack

        matcher = self._library.GrammarMatcher(grammar, None, False, -1, None)
        size = int(self._tokenizer.vocab_size())
        mask = np.zeros((1, -(-size // 32)), dtype=np.int32)
        shared = from_dlpack(mask)
        draws = np.random.default_rng(0)
        started, steps = time.process_time(), 0
        while steps < _STEPS and not matcher.is_terminated():
            unbounded = not matcher.fill_next_token_bitmask(shared, 0, False)
            steps += 1
            bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[:size]
            allowed = np.arange(size) if unbounded else np.flatnonzero(bits)
            if not len(allowed) or not matcher.accept_token(int(allowed[draws.integers(len(allowed))]), False):
                raise DeadEnd
        return (time.process_time() - started) / max(1, steps)
