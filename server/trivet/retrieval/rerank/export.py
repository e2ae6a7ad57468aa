"""`python -m trivet.retrieval.rerank.export`: a sentence-transformers cross-encoder as one ONNX graph, checked.

Run in a process of its own, because it imports PyTorch. The activation is inside the graph. It takes one pair at a
time, so that a pair's score does not depend on its neighbours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from trivet.retrieval.model_export.export import OPSET, quantise, whole_folder
from trivet.retrieval.model_export.files import DESCRIPTION, GRAPH, TOKENIZER
from trivet.retrieval.rerank.pair_model import IDS, SEGMENTS, PairModel

FORMAT = 2  # grows when the same model would be exported differently

# Of the range of the samples' scores, which is under 1 for probabilities and tens for raw logits; but of 1 at least.
_MOST_DIFFERENT = {"float32": 1e-3, "int8": 0.1}
_LONGEST = 512
_SAMPLES = (
    ("How many days of leave do I have?", "Leave\nEach year has 30 days of leave."),
    ("How many days of leave do I have?", "Travel\nTravel is booked through the portal."),
    ("x", "y"),
    ("Ünïcode?", "漢字 and 12.5 % of the rest " * 20),
    ("a long question " * 10, "a very long passage " * 400),
)


def export(model: Path, precision: str, target: Path) -> None:
    """Write `target` (a folder that appears whole or not at all); raises ValueError if the graph differs too much."""
    with whole_folder(target) as work:
        description = _write(model, precision, work)
        (work / DESCRIPTION).write_text(json.dumps(description, indent=2))


def _write(model: Path, precision: str, work: Path) -> dict[str, Any]:
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(1)
    original = CrossEncoder(str(model), device="cpu", local_files_only=True).eval()
    if original.model is None or original.num_labels != 1:
        raise ValueError("expected a cross-encoder with one score, by sequence classification")
    segments = "token_type_ids" in original.tokenizer.model_input_names
    window = min(int(original.max_seq_length or _LONGEST), _LONGEST)
    original.max_seq_length = window
    original.tokenizer.backend_tokenizer.save(str(work / TOKENIZER))
    graph = work / "float32.onnx"
    with torch.no_grad():
        _to_onnx(original, segments, window, graph)
        reference = original.predict(list(_SAMPLES), batch_size=1, show_progress_bar=False)
    if precision == "int8":
        graph = quantise(_without_shapes(graph), work / "int8.onnx")
    graph.rename(work / GRAPH)
    description = {"window": window, "segments": segments}
    served = PairModel(work, description)
    difference = float(np.abs(np.array([served.score(*pair) for pair in _SAMPLES]) - reference).max())
    most = _MOST_DIFFERENT[precision] * max(1.0, float(np.ptp(reference)))
    if not difference < most:  # also refuses NaN
        raise ValueError(f"the {precision} graph differs from the model by {difference:g}, more than {most:g}")
    return {**description, "max_difference": difference}


def _to_onnx(original: Any, segments: bool, window: int, graph: Path) -> None:
    """One pair's token ids, and which are the passage's, (1, length) int64 in, its score (1,) float32 out."""
    import torch

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.model = original.model
            self.activation = original.activation_fn

        def forward(self, input_ids: Any, token_type_ids: Any = None) -> Any:
            features = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
            if token_type_ids is not None:
                features["token_type_ids"] = token_type_ids
            return self.activation(self.model(**features).logits)[:, 0]

    names = [IDS, SEGMENTS][: 1 + segments]
    length = torch.export.Dim("length", min=1, max=window)
    torch.onnx.export(
        Scorer().eval(),
        tuple(torch.ones(1, 8, dtype=torch.long) for _ in names),
        str(graph),
        input_names=names,
        output_names=["score"],
        dynamic_shapes={name: {1: length} for name in names},
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _without_shapes(graph: Path) -> Path:
    """A head with one output has shapes that the quantiser's inference disputes."""
    import onnx

    model = onnx.load(graph)
    del model.graph.value_info[:]
    onnx.save(model, graph)
    return graph


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(prog="python -m trivet.retrieval.rerank.export")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--precision", choices=sorted(_MOST_DIFFERENT), required=True)
    parser.add_argument("--target", type=Path, required=True)
    options = parser.parse_args()
    export(options.model, options.precision, options.target)


if __name__ == "__main__":
    main()
