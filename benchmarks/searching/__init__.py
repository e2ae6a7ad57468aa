"""What the benchmarks of retrieval share: texts, passages, indexes without a server."""
