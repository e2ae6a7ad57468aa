"""vLLM's parsers of thoughts and tool calls, at growing lengths."""
