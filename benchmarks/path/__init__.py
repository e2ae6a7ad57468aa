"""The request path next to vLLM without the gateway and to vLLM's server."""
