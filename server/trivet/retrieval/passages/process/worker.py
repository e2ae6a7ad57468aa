"""`python -m trivet.retrieval.passages.process.worker`: splits documents for the process that started it.

One document at a time, with a low priority and limits of its own, because a document of a stranger can take for ever or
unpack to gigabytes. It ends with its parent, however that ends. Standard output is for frames alone; what libraries
print goes to standard error.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from trivet.errors import DocumentRejected
from trivet.retrieval.embedding.tokens import ModelTokens
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.retrieval.passages.process.messages import LAST, NOT_LAST, SplitRequest, decode_request, encode_chunks
from trivet.retrieval.passages.splitting import Chunk, Splitter
from trivet.retrieval.processes.frames import Frame, write_frame
from trivet.retrieval.processes.worker import asked, begin
from trivet.retrieval.settings import IndexSettings

_MOST_SAID = 500  # characters of another's error message and a document's id
_MOST_MODELS = 4  # tokenizers kept open


def main() -> int:
    """Limit this process, then split until the input ends, or memory has become much."""
    parser = argparse.ArgumentParser(prog="python -m trivet.retrieval.passages.process.worker")
    for name in DocumentLimits.__slots__:
        parser.add_argument(f"--{name}", type=type(getattr(DEFAULT_LIMITS, name)), required=True)
    limits = DocumentLimits(**vars(parser.parse_args()))
    answers = begin()
    for which, amount in ((resource.RLIMIT_AS, limits.memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        _limit(which, amount)
    splitters = _Splitters(limits)
    write_frame(answers, Frame.READY)
    for body in asked():
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + limits.seconds)
        kind, said, exhausted = _answer(splitters, body, answers)
        del body
        # Memory that one large document has taken is not given back: the next one gets a new process.
        last = exhausted or _memory() > limits.memory // 2
        write_frame(answers, kind, (LAST if last else NOT_LAST) + said.encode(errors="replace"))
        if last:
            break
    return 0


class _Splitters:
    """Splitters and tokenizers, kept for the next document."""

    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        self._models: dict[str, ModelTokens] = {}
        self._splitters: dict[tuple[str, IndexSettings, int], Splitter] = {}

    def split(self, request: SplitRequest) -> list[Chunk]:
        """Raises DocumentRejected."""
        export = str(request.export)
        key = (export, request.settings, request.room)
        if key not in self._splitters:
            if export not in self._models and len(self._models) >= _MOST_MODELS:
                self._models.clear()
                self._splitters.clear()
            if export not in self._models:
                self._models[export] = ModelTokens.open(request.export)
            self._splitters[key] = Splitter(request.settings, self._models[export], request.room, self._limits)
        return self._splitters[key].split(request.document)


def _answer(splitters: _Splitters, body: bytes, answers: int) -> tuple[Frame, str, bool]:
    """Split, and write the passages; the kind and the text of the last frame, and whether memory ran out."""
    request = decode_request(body)
    try:
        for chunks in encode_chunks(splitters.split(request)):
            write_frame(answers, Frame.CHUNKS, chunks)
    except DocumentRejected as error:
        return Frame.REFUSED, str(error), False
    except MemoryError:
        return Frame.REFUSED, f"document {request.document.id!r}: reading it takes too much memory", True
    except Exception as error:  # what a parser stumbles over is this document's fault, the next one is another
        said = f"document {request.document.id!r}: it cannot be read ({type(error).__name__}: {error})"
        return Frame.REFUSED, said[:_MOST_SAID], False
    return Frame.DONE, "", False


def _memory() -> int:
    """Bytes of memory that this process has; 0 where that cannot be told. Not its peak: that includes its parent's."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _limit(which: int, amount: int) -> None:
    """Lower a limit of this process; one that the system does not take is left (macOS has no bound on memory)."""
    try:
        _, hard = resource.getrlimit(which)
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(which, (amount, hard))
    except (ValueError, OSError):
        sys.stderr.write("a limit of the process that splits documents could not be set\n")


if __name__ == "__main__":
    sys.exit(main())
