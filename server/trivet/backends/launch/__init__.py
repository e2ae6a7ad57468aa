"""Around the start of an engine: arguments for vLLM, memory on a CPU, and why a start failed."""
