"""What Trivet corrects inside vLLM's own processes. It imports nothing of Trivet."""
