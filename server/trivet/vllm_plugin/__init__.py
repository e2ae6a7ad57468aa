"""What Trivet mends inside vLLM's own processes. It imports nothing of Trivet."""
