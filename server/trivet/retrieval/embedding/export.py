"""`python -m trivet.retrieval.embedding.export`: a sentence-transformers model as one ONNX graph, and how it compares.

Run in a process of its own, because it imports PyTorch and takes the interpreter for seconds. Pooling and normalisation
are inside the graph. It takes one text at a time: under dynamic quantisation the neighbours in a batch, and their
padding, would change a text's vector.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trivet.retrieval.embedding.onnx_model import INPUT, OnnxModel
from trivet.retrieval.model_export.export import OPSET, quantise, whole_folder
from trivet.retrieval.model_export.files import DESCRIPTION, GRAPH, TOKENIZER

FORMAT = 2  # grows when the same model would be exported differently

_MAX_DIFFERENCE = 1e-5  # float32: largest difference of a component of a vector of length 1
_MIN_COSINE = 0.97  # int8
_MODULES = {"Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout"}
_UNBOUNDED = 10**6  # tokenizers without a limit name a very large one
_SAMPLES = (
    "",
    " \n",
    "x",
    "How many days of leave do I have?",
    "MiXeD Case WORDS, and  blanks\t between\n\nparagraphs ",
    "Travel is booked through the portal; form E-4711 must be approved by the manager before the first night. " * 3,
    "Ünïcode — 12,5 % für Grüße, déjà vu, Ελληνικά, Русский, العربية, हिन्दी",
    "漢字とかな、한국어、中文 🙂",
    "def f(x): return {'a': [x ** 2 for _ in range(10)]}  # <b>not</b> [MASK] words </s>",
    "supercalifragilisticexpialidocious" * 20,
    "a very long passage " * 400,
)


def export(model: Path, precision: str, target: Path) -> None:
    """Write `target` (a folder that appears whole or not at all); raises ValueError if the graph differs too much."""
    with whole_folder(target) as work:
        description = _write(model, precision, work)
        (work / DESCRIPTION).write_text(json.dumps(description, indent=2))


def _write(model: Path, precision: str, work: Path) -> dict[str, Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)  # more of them fight over busy cores: many times slower
    original = SentenceTransformer(str(model), device="cpu", local_files_only=True, trust_remote_code=False).eval()
    _check_modules(original)
    window = _window(original)
    original.tokenizer.backend_tokenizer.save(str(work / TOKENIZER))
    texts = list(_SAMPLES) if original.tokenizer.num_special_tokens_to_add() else list(_SAMPLES[2:])  # 0 tokens: none
    graph = work / "float32.onnx"
    with torch.no_grad():
        _to_onnx(original, graph)
        reference = original.encode(texts, batch_size=1, normalize_embeddings=True, convert_to_numpy=True)
    difference = float(np.abs(_embed(graph, work, window, texts) - reference).max())
    if not difference < _MAX_DIFFERENCE:  # also refuses NaN
        raise ValueError(f"the exported graph differs from the model by {difference:g}, more than {_MAX_DIFFERENCE:g}")
    if precision == "int8":
        graph = quantise(graph, work / "int8.onnx")
    cosine = float((_embed(graph, work, window, texts) * reference).sum(axis=1).min())
    if not cosine > _MIN_COSINE:
        raise ValueError(f"the {precision} graph has cosine {cosine:g} with the model, less than {_MIN_COSINE:g}")
    graph.rename(work / GRAPH)
    prompts = original.prompts
    return {
        "dimension": int(reference.shape[1]),
        "window": window,
        "query_prompt": prompts.get("query") or "",
        "document_prompt": prompts.get("document") or prompts.get("passage") or "",
        "float32_max_difference": difference,
        "min_cosine": cosine,
        "checked_texts": len(texts),
    }


def _check_modules(original: Any) -> None:
    """Raise ValueError for what the graph would not do, or not do alike."""
    names = [type(module).__name__ for module in original]
    if names[:1] != ["Transformer"] or not set(names) <= _MODULES or "Pooling" not in names:
        raise ValueError(f"modules {names}: expected Transformer and Pooling, then any of {sorted(_MODULES)}")
    if not getattr(original.tokenizer, "is_fast", False):
        raise ValueError("its tokenizer has no tokenizer.json")
    prompted = any(original.prompts.values())
    if prompted and any(not module.include_prompt for module in original if type(module).__name__ == "Pooling"):
        raise ValueError("its pooling leaves out the prompt, which is not supported")


def _window(original: Any) -> int:
    """Tokens of an input, special ones included."""
    lengths = [original.max_seq_length, getattr(original[0].auto_model.config, "max_position_embeddings", None)]
    known = [int(length) for length in lengths if length is not None and 0 < length < _UNBOUNDED]
    if not known:
        raise ValueError("neither max_seq_length nor max_position_embeddings says how long its input may be")
    return known[0]


def _to_onnx(original: Any, graph: Path) -> None:
    """One text's token ids (1, length) int64 in, its normalised vector (1, dimension) float32 out."""
    import torch

    class Embedding(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.stages = torch.nn.ModuleList(original)

        def forward(self, input_ids: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
            for stage in self.stages:
                features = stage(features)
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)

    torch.onnx.export(
        Embedding().eval(),
        (torch.ones(1, 8, dtype=torch.long),),
        str(graph),
        input_names=[INPUT],
        output_names=["sentence_vector"],
        dynamic_shapes={INPUT: {1: torch.export.Dim("length", min=1, max=_window(original))}},
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _embed(graph: Path, work: Path, window: int, texts: Sequence[str]) -> Any:
    """Their vectors (texts, dimension) by the code that will serve."""
    model = OnnxModel(graph, work / TOKENIZER, window)
    return np.stack([model.embed(text) for text in texts])


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(prog="python -m trivet.retrieval.embedding.export")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--precision", choices=("float32", "int8"), required=True)
    parser.add_argument("--target", type=Path, required=True)
    arguments = parser.parse_args()
    export(arguments.model, arguments.precision, arguments.target)


if __name__ == "__main__":
    main()
