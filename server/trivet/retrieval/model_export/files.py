"""The names of the files of an exported model."""

GRAPH = "model.onnx"
DESCRIPTION = "export.json"
TOKENIZER = "tokenizer.json"
