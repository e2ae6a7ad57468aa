"""`python -m trivet.retrieval.embedding.worker --export FOLDER`: embeds texts for the process that started it.

One text at a time, on one thread, with a low priority. It ends with its parent, however that ends. Standard output is
for frames alone (`trivet.retrieval.processes.frames`); what libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trivet.retrieval.embedding.onnx_model import OnnxModel
from trivet.retrieval.processes.frames import Frame, write_frame
from trivet.retrieval.processes.worker import asked, begin


def main() -> int:
    """Read the command line and embed until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m trivet.retrieval.embedding.worker")
    parser.add_argument("--export", type=Path, required=True, help="folder of an exported model")
    arguments = parser.parse_args()
    answers = begin()
    model = OnnxModel.open(arguments.export)
    write_frame(answers, Frame.READY)
    for text in asked():
        write_frame(answers, *_answer(model, text))
    return 0


def _answer(model: OnnxModel, text: bytes) -> tuple[Frame, bytes]:
    try:
        return Frame.VECTOR, model.embed(text.decode()).astype("<f4").tobytes()
    except Exception as error:  # whatever this text did to the tokenizer, the next one is another
        return Frame.FAILED, f"{type(error).__name__}: {error}".encode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
