"""Forms of texts: names, encodings, patterns of paths."""
