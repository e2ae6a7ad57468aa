"""HTTP beside gRPC, vLLM's own server, and LiteLLM in front of that."""
