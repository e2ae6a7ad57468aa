"""What generates: vLLM in this process (embedded)."""
