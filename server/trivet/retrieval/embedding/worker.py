"""`python -m trivet.retrieval.embedding.worker --export FOLDER`: embeds texts for the process that started it.

One text at a time, on one thread, with a low priority. It ends with its parent, however that ends. Standard output is
for frames alone (`trivet.retrieval.processes.frames`); what libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from trivet.retrieval.embedding.onnx_model import OnnxModel
from trivet.retrieval.processes.frames import BrokenFrame, Frame, read_frame, write_frame
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
    write_frame(answers, Frame.READY)
    read = partial(os.read, 0)
    while True:
        try:
            _, text = read_frame(read)
        except BrokenFrame:
            return 0
        write_frame(answers, *_answer(model, text))


def _answer(model: OnnxModel, text: bytes) -> tuple[Frame, bytes]:
    try:
        return Frame.VECTOR, model.embed(text.decode()).astype("<f4").tobytes()
    except Exception as error:  # whatever this text did to the tokenizer, the next one is another
        return Frame.FAILED, f"{type(error).__name__}: {error}".encode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
