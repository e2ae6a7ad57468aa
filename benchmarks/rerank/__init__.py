"""What reranking costs."""
