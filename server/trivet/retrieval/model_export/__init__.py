"""What models that are exported to ONNX share: export, files, session."""
