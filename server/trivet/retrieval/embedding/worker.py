"""`python -m trivet.retrieval.embedding.worker --export FOLDER`: embeds texts for the process that started it.

One text at a time, on one thread, with a low priority. It ends with its parent, however that ends. Standard output is
for frames alone (`trivet.retrieval.embedding.frames`); what libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from trivet.retrieval.embedding.frames import BrokenFrame, Frame, encode_frame, read_frame
from trivet.retrieval.embedding.onnx_model import OnnxModel
from trivet.vector.lifeline import die_with_parent

_NICENESS = 10


def main() -> int:
    """Read the command line and embed until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m trivet.retrieval.embedding.worker")
    parser.add_argument("--export", type=Path, required=True, help="folder of an exported model")
    arguments = parser.parse_args()
    die_with_parent()
    os.nice(_NICENESS)
    answers = os.dup(1)
    os.dup2(2, 1)
    model = OnnxModel.open(arguments.export)
    _write(answers, encode_frame(Frame.READY))
    read = partial(os.read, 0)
    while True:
        try:
            _, text = read_frame(read)
        except BrokenFrame:
            return 0
        _write(answers, _answer(model, text))


def _answer(model: OnnxModel, text: bytes) -> bytes:
    try:
        return encode_frame(Frame.VECTOR, model.embed(text.decode()).astype("<f4").tobytes())
    except Exception as error:  # whatever this text did to the tokenizer, the next one is another
        return encode_frame(Frame.FAILED, f"{type(error).__name__}: {error}".encode(errors="replace"))


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


if __name__ == "__main__":
    sys.exit(main())
